/* Origins of URLs. See origin.h. */
#include "origin.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

/* Whether the URL has this part, other than `usual`. */
static bool has_part(CURLU *u, CURLUPart part, const char *usual)
{
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK && strcmp(text, usual) != 0;
    curl_free(text);
    return has;
}

static int put_origin(CURLU *u, char out[ORIGIN_BYTES])
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    int n = -1;
    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcasecmp(scheme, "https") == 0 || strcasecmp(scheme, "http") == 0))
        n = snprintf(out, ORIGIN_BYTES, "%s://%s:%s", scheme, host, port);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    if (n < 0 || n >= ORIGIN_BYTES)
        return -1;
    for (char *c = out; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

static int read_url(const char *url, bool only_origin, char out[ORIGIN_BYTES])
{
    CURLU *u = curl_url();
    int rc = -1;
    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK &&
        !(only_origin && (has_part(u, CURLUPART_PATH, "/") || has_part(u, CURLUPART_USER, "") ||
                          has_part(u, CURLUPART_QUERY, "") || has_part(u, CURLUPART_FRAGMENT, ""))))
        rc = put_origin(u, out);
    curl_url_cleanup(u);
    return rc;
}

int origin_of(const char *url, char out[ORIGIN_BYTES])
{
    return read_url(url, false, out);
}

int origin_read(const char *text, size_t n, char out[ORIGIN_BYTES])
{
    char copy[ORIGIN_BYTES];
    if (n >= sizeof(copy))
        return -1;
    (void)snprintf(copy, sizeof(copy), "%.*s", (int)n, text);
    return read_url(copy, true, out);
}

/* Reading the headers of a response. See http_header.h. */
#include "http_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

bool fm_http_header(const struct fm_http_response *r, const char *name, char *out, size_t out_bytes)
{
    size_t n = strlen(name);
    for (const char *line = r->headers; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t length = end == NULL ? strlen(line) : (size_t)(end - line);
        if (length > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
            const char *value = line + n + 1;
            const char *last = line + length;
            while (value < last && (*value == ' ' || *value == '\t'))
                value++;
            while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
                last--; /* no part of the value (RFC 9110, 5.5) */
            snprintf(out, out_bytes, "%.*s", (int)(last - value), value);
            return true;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return false;
}

uint64_t http_wait_ms(double ms, uint64_t most_ms)
{
    if (!(ms > 0))
        return 0;
    return ms < (double)most_ms ? (uint64_t)ms : most_ms;
}

uint64_t http_retry_after_ms(const struct fm_http_response *r, int64_t now_ms, uint64_t most_ms)
{
    char text[64], *end;
    if (!fm_http_header(r, "retry-after", text, sizeof(text)))
        return 0;
    double seconds = strtod(text, &end);
    if (end != text && *end == '\0')
        return http_wait_ms(seconds * 1000, most_ms);
    time_t at = curl_getdate(text, NULL);
    return at < 0 ? 0 : http_wait_ms((double)at * 1000 - (double)now_ms, most_ms);
}

/* Headers that others choose. See http_field.h. */
#include "http_field.h"

#include <string.h>
#include <strings.h>

#define MAX_NAME_BYTES 128

static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

/* RFC 9112, section 6; RFC 9110, sections 7.6.1, 7.8, 10.1.4 and 11.7. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"content-length",      "cannot be set: it follows from the body"                 },
    {"transfer-encoding",   "cannot be set: the client says how a body is sent"       },
    {"trailer",             "cannot be set: the client says how a body is sent"       },
    {"te",                  "cannot be set: it is between the client and the next hop"},
    {"connection",          "cannot be set: it is between the client and the next hop"},
    {"keep-alive",          "cannot be set: it is between the client and the next hop"},
    {"upgrade",             "cannot be set: it is between the client and the next hop"},
    {"http2-settings",      "cannot be set: it is between the client and the next hop"},
    {"proxy-connection",    "cannot be set: it is between the client and the next hop"},
    {"proxy-authenticate",  "cannot be set: it is between the client and the next hop"},
    {"proxy-authorization", "cannot be set: it is between the client and the next hop"},
    {"host",                "cannot be set: it follows from the URL"                  },
};

const char *fm_http_name_fault(const char *name, size_t n)
{
    if (n == 0 || n > MAX_NAME_BYTES)
        return "is not a valid header name: it must have 1 to 128 bytes";
    for (size_t i = 0; i < n; i++)
        if (name[i] == '\0' || strchr(token, name[i]) == NULL)
            return "is not a valid header name: it may have letters, digits and !#$%&'*+-.^_`|~";
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strlen(refused[i].name) == n && strncasecmp(refused[i].name, name, n) == 0)
            return refused[i].why;
    return NULL;
}

const char *fm_http_value_fault(const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
            return "has a line break or another control character in its value";
    return NULL;
}

/* Reading the headers of a response: needs no engine. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fermata/routine.h>

bool fm_http_header(const struct fm_http_response *r, const char *name, char *out, size_t out_bytes)
{
    size_t n = strlen(name);
    for (const char *line = r->headers; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t length = end == NULL ? strlen(line) : (size_t)(end - line);
        if (length > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
            const char *value = line + n + 1;
            while (*value == ' ')
                value++;
            snprintf(out, out_bytes, "%.*s", (int)(line + length - value), value);
            return true;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return false;
}

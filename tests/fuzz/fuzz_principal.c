/* A URI of a certificate: it names somebody, whose text is then well formed, or it is refused with a reason.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "name.h"
#include "principal.h"

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_principal p = {0};
    struct fm_err err = {0};
    char text[FM_PRINCIPAL_BYTES];
    if (fm_principal_of_uri((const char *)data, size, &p, &err) == 0) {
        must(p.kind == FM_USER || p.kind == FM_HOST || p.kind == FM_MEMBER);
        must(fm_name_ok(p.name) && strchr(fm_principal_text(&p, text), ':') != NULL);
        must(size > strlen(p.name) && memcmp(data + size - strlen(p.name), p.name, strlen(p.name)) == 0);
    } else {
        must(err.code == FM_INVALID_ARGUMENT && err.msg[0] != '\0' && p.name[0] == '\0');
    }
    fm_err_done(&err);
    return 0;
}

/* Names of who calls. See principal.h. */
#include "principal.h"

#include <stdio.h>
#include <string.h>

#include "name.h"

#define SCHEME "spiffe://"
#define MAX_DOMAIN 255

static const char *const kinds[] = {
    [FM_NOBODY] = "nobody", [FM_LOCAL] = "local", [FM_UNIX] = "unix",
    [FM_USER] = "user",     [FM_HOST] = "host",   [FM_MEMBER] = "member",
};

const char *fm_principal_text(const struct fm_principal *p, char out[FM_PRINCIPAL_BYTES])
{
    if (p->name[0] == '\0')
        (void)snprintf(out, FM_PRINCIPAL_BYTES, "%s", kinds[p->kind]);
    else
        (void)snprintf(out, FM_PRINCIPAL_BYTES, "%s:%s", kinds[p->kind], p->name);
    return out;
}

bool fm_principal_is_proved(const struct fm_principal *p)
{
    return p->kind != FM_LOCAL;
}

/* A trust domain: letters that are small, digits, dots, hyphens, underscores. */
static bool is_domain(const char *s, size_t n)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    if (n == 0 || n > MAX_DOMAIN)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\0' || strchr(allowed, s[i]) == NULL)
            return false;
    return true;
}

static bool kind_of(const char *s, size_t n, enum fm_principal_kind *ret)
{
    for (enum fm_principal_kind k = FM_USER; k <= FM_MEMBER; k++)
        if (strlen(kinds[k]) == n && memcmp(kinds[k], s, n) == 0) {
            *ret = k;
            return true;
        }
    return false;
}

int fm_principal_of_uri(const char *uri, size_t n, struct fm_principal *ret, struct fm_err *err)
{
    const size_t n_scheme = sizeof(SCHEME) - 1;
    struct fm_principal p = {0};
    const char *domain = uri + n_scheme, *end = uri + n, *slash, *second = NULL;
    if (n <= n_scheme || memcmp(uri, SCHEME, n_scheme) != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "it does not begin with " SCHEME);
    slash = memchr(domain, '/', (size_t)(end - domain));
    if (slash != NULL)
        second = memchr(slash + 1, '/', (size_t)(end - slash - 1));
    if (slash == NULL || second == NULL || !is_domain(domain, (size_t)(slash - domain)))
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                          "expected " SCHEME "DOMAIN/user/NAME or " SCHEME "DOMAIN/host/ID");
    if (!kind_of(slash + 1, (size_t)(second - slash - 1), &p.kind))
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "it names neither a user nor a host nor a member");
    size_t n_name = (size_t)(end - second - 1);
    if (n_name < sizeof(p.name) && memchr(second + 1, '\0', n_name) == NULL)
        memcpy(p.name, second + 1, n_name);
    if (!fm_name_ok(p.name))
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "the name must be " FM_NAME_RULE);
    *ret = p;
    return 0;
}

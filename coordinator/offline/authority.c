/* A directory with an authority. See authority.h. */
#include "authority.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "name.h"
#include "tls_authority.h"

#define YEAR_S (365L * 86400)
#define SKEW_S 300L /* that other machines' clocks may be behind */
#define LOOPBACK "DNS:localhost,IP:127.0.0.1,IP:::1"
#define MAX_PATH 4300

struct making {
    const struct authority_wanted *what;
    struct tls_authority *ca;
    FILE *out;
    size_t made;
};

static const char *path_of(const struct making *m, const char *name, const char *extension,
                           char out[MAX_PATH])
{
    (void)snprintf(out, MAX_PATH, "%s/%s.%s", m->what->dir, name, extension);
    return out;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- one certificate ---- */

static int issue(struct making *m, const char *file, const struct tls_wanted *wanted, struct fm_err *err)
{
    char cert[MAX_PATH], key[MAX_PATH];
    if (is_there(path_of(m, file, "pem", cert)))
        return 0;
    int rc = tls_authority_issue(m->ca, wanted, cert, path_of(m, file, "key", key), err);
    if (rc < 0)
        return rc;
    fprintf(m->out, "%s: %s\n", cert, wanted->names);
    m->made++;
    return 0;
}

static int issue_named(struct making *m, const char *kind, const char *name, struct fm_err *err)
{
    char file[256], uri[600];
    if (!fm_name_ok(name))
        return fm_err_set(err, FM_INVALID_ARGUMENT, kind, "--tls-%ss: \"%.100s\": expected " FM_NAME_RULE,
                          kind, name);
    (void)snprintf(file, sizeof(file), "%s-%s", kind, name);
    (void)snprintf(uri, sizeof(uri), "URI:spiffe://%s/%s/%s", m->what->domain, kind, name);
    const struct tls_wanted wanted = {name, uri, false, -SKEW_S, YEAR_S};
    return issue(m, file, &wanted, err);
}

/* ---- lists ---- */

/* Copies the first part of a list; *list goes on to the next, or becomes NULL. */
static char *next_part(const char **list)
{
    const char *comma = strchr(*list, ',');
    char *part = fm_xmemdup(*list, strlen(*list) + 1);
    if (comma != NULL)
        part[comma - *list] = '\0';
    *list = comma != NULL ? comma + 1 : NULL;
    return part;
}

static int issue_all(struct making *m, const char *kind, const char *names, struct fm_err *err)
{
    int rc = 0;
    for (const char *rest = names; rest != NULL && rc == 0;) {
        fm_autofree char *name = next_part(&rest);
        rc = issue_named(m, kind, name, err);
    }
    return rc;
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_dns_name(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '.')
            return false;
    return n > 0 && n < 254 && text[0] != '-' && text[0] != '.';
}

static int issue_coordinator(struct making *m, struct fm_err *err)
{
    fm_auto(fm_buf) names = {0};
    fm_buf_append(&names, LOOPBACK, strlen(LOOPBACK));
    for (const char *rest = m->what->names; rest != NULL;) {
        fm_autofree char *name = next_part(&rest);
        const char *kind = is_address(name) ? ",IP:" : ",DNS:";
        if (!is_address(name) && !is_dns_name(name))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "tls-names",
                              "--tls-names: \"%.100s\" is neither the name of a machine nor an address",
                              name);
        fm_buf_append(&names, kind, strlen(kind));
        fm_buf_append(&names, name, strlen(name));
    }
    fm_buf_append(&names, "", 1);
    const struct tls_wanted wanted = {"coordinator", (const char *)names.p, true, -SKEW_S, YEAR_S};
    return issue(m, "coordinator", &wanted, err);
}

/* ---- the whole ---- */

static int open_authority(struct making *m, struct fm_err *err)
{
    char cert[MAX_PATH], key[MAX_PATH];
    if (mkdir(m->what->dir, 0755) < 0 && errno != EEXIST)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "init-tls", "--init-tls %s: %s", m->what->dir,
                          strerror(errno));
    (void)path_of(m, "ca", "pem", cert);
    (void)path_of(m, "ca", "key", key);
    if (is_there(cert) || is_there(key)) {
        m->ca = tls_authority_open(cert, key, err);
    } else if ((m->ca = tls_authority_make(cert, key, "Fermata", err)) != NULL) {
        fprintf(m->out, "%s: the authority; who has its key, %s, decides who belongs here\n", cert, key);
        m->made++;
    }
    return m->ca != NULL ? 0 : -FM_FAILED_PRECONDITION;
}

int authority_init(const struct authority_wanted *what, FILE *out, struct fm_err *err)
{
    struct making m = {.what = what, .out = out};
    if (!is_dns_name(what->domain))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "tls-domain",
                          "--tls-domain %.100s: expected a name like example.org", what->domain);
    for (const char *p = what->domain; *p != '\0'; p++)
        if (isupper((unsigned char)*p))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "tls-domain",
                              "--tls-domain %.100s: small letters only", what->domain);
    int rc = open_authority(&m, err);
    if (rc == 0)
        rc = issue_coordinator(&m, err);
    if (rc == 0)
        rc = issue_all(&m, "host", what->hosts, err);
    if (rc == 0)
        rc = issue_all(&m, "user", what->users, err);
    if (m.ca != NULL)
        tls_authority_free(m.ca);
    if (rc == 0 && m.made == 0)
        fprintf(out, "%s: all of it is there already\n", what->dir);
    return rc;
}

/* See settings.h. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "rpc.h"

static char *config_file(void)
{
    const char *named = getenv("FERMATA_CONFIG"), *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char path[4096];
    if (named != NULL && named[0] != '\0')
        return fm_xstrdup(named);
    if (base != NULL && base[0] == '/')
        snprintf(path, sizeof(path), "%s/fermata/config", base);
    else
        snprintf(path, sizeof(path), "%s/.config/fermata/config", home == NULL ? "" : home);
    return fm_xstrdup(path);
}

/* Takes the white space off both ends. */
static char *trimmed(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL)
        s[--n] = '\0';
    return s;
}

static const char *const names[CLI_N_SETTINGS] = {"address",  "user",    "tls-ca",
                                                  "tls-cert", "tls-key", "insecure"};

const char *cli_setting_name(enum cli_setting s)
{
    return names[s];
}

/* As a variable of the environment, or in the file. */
static void spell(char *out, size_t n, const char *prefix, const char *name, bool capital)
{
    size_t at = (size_t)snprintf(out, n, "%s", prefix);
    for (; *name != '\0' && at + 1 < n; name++) {
        char c = *name == '-' ? '_' : *name;
        out[at++] = capital && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    out[at] = '\0';
}

static void take(struct cli_settings *s, int which, const char *value, const char *from)
{
    if (s->values[which] != NULL || value == NULL || value[0] == '\0')
        return;
    s->values[which] = fm_xstrdup(value);
    s->from[which] = from;
}

static void take_from_env(struct cli_settings *s, int which)
{
    char name[64];
    spell(name, sizeof(name), "FERMATA_", names[which], true);
    take(s, which, getenv(name), "the environment");
}

/* Sets what is not set yet from the profile's section. */
static int read_line(struct cli_settings *s, char *line, unsigned number, bool *inside, bool *found,
                     struct fm_err *err)
{
    char *text = trimmed(line), own[64];
    size_t n = strlen(text);
    if (n == 0 || text[0] == '#')
        return 0;
    if (text[0] == '[' && text[n - 1] == ']') {
        text[n - 1] = '\0';
        *inside = strcmp(trimmed(text + 1), s->profile) == 0;
        *found = *found || *inside;
        return 0;
    }
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s, line %u: neither [PROFILE] nor NAME = VALUE",
                          s->file, number);
    *equals = '\0';
    const char *name = trimmed(text), *value = trimmed(equals + 1);
    for (int i = 0; i < CLI_N_SETTINGS; i++) {
        spell(own, sizeof(own), "", names[i], false);
        if (strcmp(name, own) != 0)
            continue;
        if (*inside)
            take(s, i, value, "the profile");
        return 0;
    }
    return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                      "%s, line %u: '%.64s' is none of address, user, tls_ca, tls_cert, tls_key, insecure",
                      s->file, number, name);
}

static int read_file(struct cli_settings *s, bool must, struct fm_err *err)
{
    FILE *f = fopen(s->file, "re");
    char line[4096];
    bool inside = false, found = false;
    unsigned number = 0;
    int rc = 0;
    if (f == NULL && (errno != ENOENT || must))
        return fm_err_set(err, FM_NOT_FOUND, NULL, "%s cannot be read: %s", s->file, strerror(errno));
    while (f != NULL && rc == 0 && fgets(line, sizeof(line), f) != NULL)
        rc = read_line(s, line, ++number, &inside, &found, err);
    if (f != NULL)
        (void)fclose(f);
    if (rc == 0 && must && !found)
        rc = fm_err_set(err, FM_NOT_FOUND, NULL, "%s has no profile [%.64s]", s->file, s->profile);
    return rc;
}

/* Whoever listens on the way would read along, and could answer in the coordinator's place. */
static int check_plaintext(const struct cli_settings *s, struct fm_err *err)
{
    struct tls_files files;
    const char *insecure = s->values[CLI_INSECURE];
    if (insecure != NULL && strcmp(insecure, "true") != 0 && strcmp(insecure, "false") != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "insecure", "is '%.64s', neither true nor false",
                          insecure);
    if (cli_settings_tls(s, &files) || rpc_is_local(s->values[CLI_ADDRESS]) ||
        (insecure != NULL && strcmp(insecure, "true") == 0))
        return 0;
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, "address",
        "%s is not this machine: give --tls-ca, --tls-cert and --tls-key (or in the profile: tls_ca …), "
        "or --insecure if nobody else can reach that network",
        s->values[CLI_ADDRESS]);
}

int cli_settings_read(const struct cli *c, struct cli_settings *s, struct fm_err *err)
{
    const char *option = cli_word(c, "profile"), *named = option != NULL ? option : getenv("FERMATA_PROFILE");
    *s = (struct cli_settings){.file = config_file()};
    s->profile = fm_xstrdup(named == NULL || named[0] == '\0' ? "default" : named);
    for (int i = 0; i < CLI_N_SETTINGS; i++) {
        take(s, i, cli_word(c, names[i]), "an option");
        take_from_env(s, i);
    }
    int rc = read_file(s, named != NULL && named[0] != '\0', err);
    take(s, CLI_ADDRESS, "127.0.0.1:7420", "the default");
    take(s, CLI_USER, getenv("USER"), "$USER");
    return rc < 0 ? rc : check_plaintext(s, err);
}

void cli_settings_done(struct cli_settings *s)
{
    free(s->file);
    free(s->profile);
    for (int i = 0; i < CLI_N_SETTINGS; i++)
        free(s->values[i]);
    *s = (struct cli_settings){0};
}

bool cli_settings_tls(const struct cli_settings *s, struct tls_files *ret)
{
    *ret = (struct tls_files){
        .ca = s->values[CLI_TLS_CA], .cert = s->values[CLI_TLS_CERT], .key = s->values[CLI_TLS_KEY]};
    return tls_files_any(ret);
}

/* See settings.h. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

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

static void take(char **into, const char **from, const char *value, const char *name)
{
    if (*into != NULL)
        return;
    *into = fm_xstrdup(value);
    *from = name;
}

/* Sets what is not set yet from the profile's section. */
static int read_line(struct cli_settings *s, char *line, unsigned number, bool *inside, bool *found,
                     struct fm_err *err)
{
    char *text = trimmed(line);
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
    if (strcmp(name, "address") != 0 && strcmp(name, "user") != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s, line %u: '%.64s' is neither address nor user",
                          s->file, number, name);
    if (*inside && strcmp(name, "address") == 0)
        take(&s->address, &s->address_from, value, "the profile");
    else if (*inside)
        take(&s->user, &s->user_from, value, "the profile");
    return 0;
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

int cli_settings_read(const struct cli *c, struct cli_settings *s, struct fm_err *err)
{
    const char *option = cli_word(c, "profile"), *named = option != NULL ? option : getenv("FERMATA_PROFILE");
    const char *address = getenv("FERMATA_ADDRESS"), *user = getenv("FERMATA_USER");
    *s = (struct cli_settings){.file = config_file()};
    s->profile = fm_xstrdup(named == NULL || named[0] == '\0' ? "default" : named);
    if (cli_word(c, "address") != NULL)
        take(&s->address, &s->address_from, cli_word(c, "address"), "--address");
    if (address != NULL && address[0] != '\0')
        take(&s->address, &s->address_from, address, "$FERMATA_ADDRESS");
    if (cli_word(c, "as") != NULL)
        take(&s->user, &s->user_from, cli_word(c, "as"), "--as");
    if (user != NULL && user[0] != '\0')
        take(&s->user, &s->user_from, user, "$FERMATA_USER");
    int rc = read_file(s, named != NULL && named[0] != '\0', err);
    take(&s->address, &s->address_from, "127.0.0.1:7420", "the default");
    if (s->user == NULL && getenv("USER") != NULL && getenv("USER")[0] != '\0')
        take(&s->user, &s->user_from, getenv("USER"), "$USER");
    return rc;
}

void cli_settings_done(struct cli_settings *s)
{
    free(s->file);
    free(s->profile);
    free(s->address);
    free(s->user);
    *s = (struct cli_settings){0};
}

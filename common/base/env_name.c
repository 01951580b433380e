/* Names of environment variables. See env_name.h. */
#define _GNU_SOURCE
#include "env_name.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define MAX_NAME_BYTES 128

const char *fm_env_fault(const char *name)
{
    static const char *const secret[] = {"SECRET", "TOKEN", "PASSWORD",   "PASSWD",   "PASSPHRASE",
                                         "APIKEY", "_KEY",  "CREDENTIAL", "AUTH_SOCK"};
    size_t n = strlen(name);
    if (n == 0 || n > MAX_NAME_BYTES || (name[0] >= '0' && name[0] <= '9') ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != n)
        return "is not a valid variable name: 1 to 128 of A-Z a-z 0-9 _, not starting with a digit";
    if (strncasecmp(name, "FERMATA", 7) == 0)
        return "is Fermata's own: it is not passed on";
    for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
        if (strcasestr(name, secret[i]) != NULL)
            return "has the name of a secret: it is not passed on; have the program read secrets from a file";
    return NULL;
}

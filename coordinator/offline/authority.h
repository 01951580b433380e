/* `coordinator --init-tls`: a small authority in a directory, and certificates of it. */
#ifndef FM_OFFLINE_AUTHORITY_H
#define FM_OFFLINE_AUTHORITY_H

#include <stdio.h>

#include "err.h"

/* Lists have commas between their parts; NULL is an empty one. */
struct authority_wanted {
    const char *dir;    /* made if missing */
    const char *domain; /* of the names in certificates: spiffe://DOMAIN/… */
    const char *names;  /* the coordinator's, as hosts dial it, besides those of loopback */
    const char *hosts;  /* ids of hosts */
    const char *users;  /* names of people */
};

/* Makes what is not there yet (ca.pem and ca.key, coordinator.pem, host-ID.pem, user-NAME.pem, and their
 * keys), and says so on `out`. What is there stays as it is. Returns 0 or -code. */
int authority_init(const struct authority_wanted *what, FILE *out, struct fm_err *err) FM_MUST_CHECK;

#endif

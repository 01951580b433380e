/* Names of environment variables that a configuration may have a host pass on. Pure functions. */
#ifndef FM_ENV_NAME_H
#define FM_ENV_NAME_H

/* Why a variable of this name is not passed on to programs; NULL: it may be. Names that speak of secrets
 * are refused, and those of Fermata. What is said follows the name. */
const char *fm_env_fault(const char *name);

#endif

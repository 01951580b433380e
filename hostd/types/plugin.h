/* Plugins: shared objects with routine types. See "plugins" in fermata/routine.h. */
#ifndef FM_PLUGIN_H
#define FM_PLUGIN_H

#include "registry.h"

#define PLUGIN_PROBE_ARG "--probe-plugin"

/* Loads the plugins of a list "FILE[:FILE…]" (NULL: none) and adds their types; they stay loaded.
 * Each is tried in a process of its own first, so that one that crashes while it is loaded is an
 * error and not the end of this process. Returns 0, -FM_INVALID_ARGUMENT (the file is no plugin, is
 * built for another ABI, its init has failed), or as registry_add. Blocks. */
int plugins_load(const char *files, struct registry *r, struct fm_err *err) FM_MUST_CHECK;

/* What main does when its arguments are PLUGIN_PROBE_ARG and a file: loads it, prints what is
 * wrong. Returns the exit code. */
int plugin_probe_main(const char *file);

#endif

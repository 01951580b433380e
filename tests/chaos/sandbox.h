/* Namespaces of the run's own, which the kernel takes away with all their processes, mounts and interfaces
 * when the run ends, however it ends. */
#ifndef FM_CHAOS_SANDBOX_H
#define FM_CHAOS_SANDBOX_H

/* Goes on in a child that is process 1 of its own process, mount and network namespaces; the caller waits for
 * it and exits with its code. NULL, or why it cannot be. */
const char *sandbox_enter(void);

#endif

/* Preloaded into a daemon: while the file named by BAD_DISK is there, fsync and fdatasync fail with EIO, as
 * on a disk that dies. What was written is, or is not, on it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_bad(void)
{
    const char *path = getenv("BAD_DISK");
    return path != NULL && access(path, F_OK) == 0;
}

static int sync_with(const char *function, int fd)
{
    int (*real)(int fd);
    if (is_bad()) {
        errno = EIO;
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, function);
    return real(fd);
}

int fsync(int fd)
{
    return sync_with("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_with("fdatasync", fd);
}

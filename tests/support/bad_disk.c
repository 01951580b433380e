/* Preloaded into a daemon: while the file named by BAD_DISK is there, fsync and fdatasync fail with EIO, as
 * on a disk that dies. What was written is, or is not, on it. While the file named by SLOW_DISK is there they
 * do not come to an end, and the file of that name with ".held" says that one has begun. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static bool is_there(const char *variable)
{
    const char *path = getenv(variable);
    return path != NULL && access(path, F_OK) == 0;
}

static void hold(const char *path)
{
    char held[512];
    (void)snprintf(held, sizeof(held), "%s.held", path);
    int fd = open(held, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    while (access(path, F_OK) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static int sync_with(const char *function, int fd)
{
    int (*real)(int fd);
    if (is_there("SLOW_DISK"))
        hold(getenv("SLOW_DISK"));
    if (is_there("BAD_DISK")) {
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

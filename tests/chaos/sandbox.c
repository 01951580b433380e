/* See sandbox.h. The child dies with its parent (PR_SET_PDEATHSIG), and with it, as process 1 of its
 * namespace, every daemon; with the last process go the mounts and the networks. */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

static volatile sig_atomic_t child;

static void on_signal(int number)
{
    (void)number;
    if (child > 0)
        (void)kill((pid_t)child, SIGKILL);
}

static void wait_for_child(void)
{
    int status;
    while (waitpid((pid_t)child, &status, 0) < 0)
        if (errno != EINTR)
            exit(1);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static const char *mounts(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return "the mount namespace cannot be made private";
    if (mount("proc", "/proc", "proc", 0, NULL) < 0)
        return "/proc cannot be mounted";
    if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0)
        return "/run cannot be mounted";
    if (mkdir(CHAOS_DIR, 0700) < 0)
        return "the directory for the run cannot be made";
    return NULL;
}

const char *sandbox_enter(void)
{
    int alive[2];
    char byte = 0;
    if (geteuid() != 0)
        return "namespaces need root";
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID) < 0)
        return strerror(errno);
    if (pipe2(alive, O_CLOEXEC) < 0)
        return strerror(errno);
    pid_t pid = fork();
    if (pid < 0)
        return strerror(errno);
    if (pid > 0) {
        child = pid;
        struct sigaction action = {.sa_handler = on_signal};
        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGHUP, &action, NULL);
        if (write(alive[1], "x", 1) != 1)
            on_signal(0);
        wait_for_child();
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return "the end of the parent cannot be noticed";
    close(alive[1]);
    if (read(alive[0], &byte, 1) != 1) /* the parent was gone before prctl */
        _exit(1);
    close(alive[0]);
    return mounts();
}

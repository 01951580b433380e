/* Plugins. See plugin.h. */
#define _GNU_SOURCE
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "process.h"

#define SYMBOL "fermata_plugin"
#define MAX_TYPES 1000
#define MAX_COMPLAINT 500

static int load(const char *file, struct registry *r, struct fm_err *err)
{
    void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (so == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins", "plugin %s cannot be loaded: %s", file,
                          dlerror());
    const struct fm_plugin *p = dlsym(so, SYMBOL);
    if (p == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins", "%s is not a plugin: it has no symbol %s",
                          file, SYMBOL);
    if (!registry_abi_known(p->abi))
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, "plugins",
            "plugin %s was built for version %u of the routine ABI; this hostd has version %d: build it "
            "against this one's fermata/routine.h",
            file, p->abi, FM_ROUTINE_ABI);
    if (p->n_types == 0 || p->n_types > MAX_TYPES || p->types == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins",
                          "plugin %s has %zu routine types; 1 to %d are allowed", file, p->n_types,
                          MAX_TYPES);
    char why[MAX_COMPLAINT] = "";
    if (p->init != NULL && p->init(why, sizeof(why)) != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins", "plugin %s refuses to start: %.*s", file,
                          MAX_COMPLAINT - 1, why[0] != '\0' ? why : "it does not say why");
    for (size_t i = 0; i < p->n_types; i++) {
        int rc = registry_add(r, p->types[i], err);
        if (rc < 0) {
            fm_err_wrap(err, "plugin %s", file);
            return rc;
        }
    }
    return 0;
}

/* ---- the trial ---- */

int plugin_probe_main(const char *file)
{
    struct registry *r = registry_new();
    fm_auto(fm_err) err = {0};
    int rc = load(file, r, &err);
    if (rc < 0)
        printf("%s\n", err.msg);
    registry_free(r);
    (void)fflush(stdout);
    return rc < 0 ? 1 : 0;
}

static size_t read_complaint(int fd, char *text, size_t size)
{
    size_t n = 0;
    char rest[256];
    for (;;) {
        bool full = n + 1 >= size;
        ssize_t got = read(fd, full ? rest : text + n, full ? sizeof(rest) : size - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += full ? 0 : (size_t)got;
    }
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    return n;
}

static int start_probe(const char *file, int out, pid_t *ret_pid)
{
    char *argv[] = {(char *)(uintptr_t) "hostd", (char *)(uintptr_t)PLUGIN_PROBE_ARG, (char *)(uintptr_t)file,
                    NULL};
    fm_autofree char **env = process_env(NULL);
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn(ret_pid, "/proc/self/exe", &actions, NULL, argv, env);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int probe(const char *file, struct fm_err *err)
{
    int fds[2], status = 0;
    pid_t pid;
    char text[MAX_COMPLAINT];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "plugins", "a pipe cannot be made: %s",
                          strerror(errno));
    int rc = start_probe(file, fds[1], &pid);
    (void)close(fds[1]);
    if (rc == 0)
        (void)read_complaint(fds[0], text, sizeof(text));
    (void)close(fds[0]);
    if (rc != 0)
        return fm_err_set(err, FM_UNAVAILABLE, "plugins", "plugin %s cannot be tried: %s", file,
                          strerror(rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins",
                          "plugin %s crashes while it is loaded (signal %d, %s)", file, WTERMSIG(status),
                          strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0 && text[0] != '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins", "%s", text);
    if (WEXITSTATUS(status) != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "plugins",
                          "plugin %s crashes while it is loaded (exit code %d)", file, WEXITSTATUS(status));
    return 0;
}

int plugins_load(const char *files, struct registry *r, struct fm_err *err)
{
    fm_autofree char *list = fm_xstrdup(files == NULL ? "" : files);
    char *save = NULL;
    for (char *file = strtok_r(list, ":", &save); file != NULL; file = strtok_r(NULL, ":", &save)) {
        int rc = probe(file, err);
        if (rc == 0)
            rc = load(file, r, err);
        if (rc < 0)
            return rc;
        FM_LOG(INFO, HOST, "plugin loaded", FM_STR("file", file));
    }
    return 0;
}

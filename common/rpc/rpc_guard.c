/* Looks at what gRPC reads. See rpc_guard.h. */
#define _GNU_SOURCE
#include "rpc_guard.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "lock.h"
#include "mem.h"
#include "rpc_frames.h"

#define GOAWAY 7
#define ENHANCE_YOUR_CALM 11

struct guard {
    uint64_t cookie, bytes;
    struct rpc_frames frames;
};

/* Of the process, as recvmsg is. */
static struct {
    pthread_mutex_t lock;
    struct guard **by_fd;
    size_t n, guarded;
    bool works; /* something has passed it */
} guards = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- which are guarded; with the lock held ---- */

static struct guard *find(int fd, uint64_t cookie)
{
    struct guard *g = fd >= 0 && (size_t)fd < guards.n ? guards.by_fd[fd] : NULL;
    return g != NULL && g->cookie == cookie ? g : NULL;
}

static void add(int fd, struct guard *g)
{
    fm_lock(&guards.lock);
    if ((size_t)fd >= guards.n) {
        size_t more = (size_t)fd + 1024;
        guards.by_fd = fm_xrealloc(guards.by_fd, more * sizeof(struct guard *));
        memset(guards.by_fd + guards.n, 0, (more - guards.n) * sizeof(struct guard *));
        guards.n = more;
    }
    guards.guarded += guards.by_fd[fd] == NULL;
    free(guards.by_fd[fd]);
    guards.by_fd[fd] = g;
    fm_unlock(&guards.lock);
}

void rpc_guard_add(int fd, uint64_t cookie)
{
    struct guard *g = fm_xcalloc(1, sizeof(*g));
    g->cookie = cookie;
    rpc_frames_init(&g->frames, fm_now_mono_ms());
    add(fd, g);
}

void rpc_guard_add_to_server(int fd, uint64_t cookie)
{
    struct guard *g = fm_xcalloc(1, sizeof(*g));
    g->cookie = cookie;
    rpc_frames_init_of_server(&g->frames, fm_now_mono_ms());
    add(fd, g);
}

uint64_t rpc_guard_bytes(int fd, uint64_t cookie)
{
    fm_lock(&guards.lock);
    const struct guard *g = find(fd, cookie);
    uint64_t bytes = g != NULL ? g->bytes : 0;
    fm_unlock(&guards.lock);
    return bytes;
}

const char *rpc_guard_verdict(int fd, uint64_t cookie)
{
    fm_lock(&guards.lock);
    const struct guard *g = find(fd, cookie);
    const char *why = g != NULL ? g->frames.why : NULL;
    fm_unlock(&guards.lock);
    return why;
}

void rpc_guard_remove(int fd, uint64_t cookie)
{
    fm_lock(&guards.lock);
    struct guard *g = find(fd, cookie);
    if (g != NULL) {
        guards.by_fd[fd] = NULL;
        guards.guarded--;
        free(g);
    }
    if (guards.guarded == 0) {
        free(guards.by_fd);
        guards.by_fd = NULL;
        guards.n = 0;
    }
    fm_unlock(&guards.lock);
}

bool rpc_guard_taken(int fd, uint64_t cookie)
{
    fm_lock(&guards.lock);
    struct guard *g = find(fd, cookie);
    if (!guards.works)
        fm_abort("what gRPC reads does not pass the frame guard");
    bool ok = g != NULL && rpc_frames_taken(&g->frames);
    fm_unlock(&guards.lock);
    return ok;
}

/* ---- the end of a connection ---- */

void rpc_guard_reset(int fd)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    if (connect(fd, &nobody, sizeof(nobody)) < 0)
        (void)shutdown(fd, SHUT_RDWR);
}

/* Tells the client why, unless gRPC may be in the midst of a frame. */
static void say_goodbye(int fd, const char *why)
{
    uint8_t frame[9 + 8 + 128] = {0};
    size_t n = strlen(why);
    int unsent = 0;
    if (n > 128 || ioctl(fd, SIOCOUTQ, &unsent) < 0 || unsent > 0)
        return;
    frame[2] = (uint8_t)(8 + n);
    frame[3] = GOAWAY;
    memset(frame + 9, 0xff, 4); /* no stream is known to be done */
    frame[9] = 0x7f;
    frame[16] = ENHANCE_YOUR_CALM;
    memcpy(frame + 17, why, n);
    (void)send(fd, frame, 17 + n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- what gRPC reads ---- */

/* The verdict about n bytes that have come into these buffers. */
static const char *look_at(int fd, const struct msghdr *m, size_t n)
{
    uint64_t cookie;
    socklen_t size = sizeof(cookie);
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0)
        return NULL;
    fm_lock(&guards.lock);
    struct guard *g = find(fd, cookie);
    guards.works = guards.works || g != NULL;
    int64_t now_ms = g != NULL ? fm_now_mono_ms() : 0;
    if (g != NULL)
        g->bytes += n;
    for (size_t i = 0; g != NULL && i < m->msg_iovlen && n > 0; i++) {
        size_t k = m->msg_iov[i].iov_len < n ? m->msg_iov[i].iov_len : n;
        (void)rpc_frames_read(&g->frames, m->msg_iov[i].iov_base, k, now_ms);
        n -= k;
    }
    const char *why = g != NULL ? rpc_frames_hand_on(&g->frames) : NULL;
    fm_unlock(&guards.lock);
    return why;
}

/* In the place of libc's. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    ssize_t n = syscall(SYS_recvmsg, fd, m, flags);
    if (n <= 0 || (flags & (MSG_PEEK | MSG_ERRQUEUE)) != 0)
        return n;
    const char *why = look_at(fd, m, (size_t)n);
    if (why == NULL)
        return n;
    say_goodbye(fd, why);
    rpc_guard_reset(fd);
    errno = ECONNRESET;
    return -1;
}

/* The coordinator's life: read options, open the store, recover, listen, run, stop. The main
 * thread waits for signals; a second one runs the loop and with it the core. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agreed.h"
#include "authority.h"
#include "backup.h"
#include "clock.h"
#include "conf.h"
#include "id.h"
#include "jq_eval.h"
#include "log.h"
#include "mem.h"
#include "roles.h"
#include "rpc.h"
#include "server.h"
#include "size_limits.h"
#include "store_open.h"
#include "tls_context.h"
#include "verify.h"

static const char *const log_formats[] = {"text", "json", NULL};
static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const log_times[] = {"absolute", "relative", NULL};

static struct options {
    const char *listen, *data, *log_level, *backup, *fair_by;
    const char *dir; /* what --data names */
    struct tls_files tls;
    const char *roles;
    struct authority_wanted authority;
    bool verify, insecure;
    int tls_min;
    int log_format, log_time;
    int64_t lease_ms, heartbeat_ms, pause_grace_ms, shutdown_grace_ms, snapshot_steps, max_active_mib,
        max_waiting_jobs, max_steps, max_depth, max_calls, max_connections, max_unread_mib,
        request_timeout_ms, watch_heartbeat_ms;
} opt = {.listen = "127.0.0.1:7420",
         .data = "fermata-data",
         .log_level = "info",
         .log_time = 1,
         .fair_by = "",
         .authority = {.domain = "fermata"},
         .lease_ms = 10000,
         .heartbeat_ms = 2000,
         .shutdown_grace_ms = 5000,
         .snapshot_steps = 256,
         .max_active_mib = 2048,
         .max_waiting_jobs = 1000000,
         .max_steps = 100000,
         .max_depth = 32,
         .max_calls = 20000,
         .max_connections = 16384,
         .max_unread_mib = 256,
         .request_timeout_ms = 30000,
         .watch_heartbeat_ms = 15000};

/* clang-format off */
static const struct conf_option options[] = {
    {"listen", CONF_STRING, &opt.listen, "ADDRESSES",
     "where to listen: HOST:PORT, unix:/PATH, or several with commas between them; port 0 picks a free one", 0, 1000, NULL},
    {"tls-cert", CONF_STRING, &opt.tls.cert, "FILE",
     "TLS: the coordinator's certificate, and those between it and its authority", 0, 4096, NULL},
    {"tls-key", CONF_STRING, &opt.tls.key, "FILE",
     "TLS: its key", 0, 4096, NULL},
    {"tls-client-ca", CONF_STRING, &opt.tls.ca, "FILE",
     "TLS: who signs the certificates of hosts and people, who must have one", 0, 4096, NULL},
    {"tls-crl", CONF_STRING, &opt.tls.crl, "FILE",
     "TLS: which of these certificates are revoked", 0, 4096, NULL},
    {"tls-min", CONF_CHOICE, &opt.tls_min, "VERSION",
     "TLS: the oldest version", 0, 0, tls_versions},
    {"roles", CONF_STRING, &opt.roles, "FILE",
     "who may do what: lines `user:NAME = ROLE`; without it everybody with a person's certificate is admin", 0, 4096, NULL},
    {"insecure", CONF_BOOL, &opt.insecure, NULL,
     "let other machines in without their certificates", 0, 0, NULL},
    {"data", CONF_STRING, &opt.data, "DIR",
     "directory of the state store, made if missing; sqlite:DIR is the same", 0, 4096, NULL},
    {"lease", CONF_DURATION, &opt.lease_ms, "TIME",
     "how long a silent host keeps its jobs", 200, 3600000, NULL},
    {"heartbeat", CONF_DURATION, &opt.heartbeat_ms, "TIME",
     "how often hosts say that they live; at most half the lease", 50, 600000, NULL},
    {"pause-grace", CONF_DURATION, &opt.pause_grace_ms, "TIME",
     "after how long PauseJob aborts the step in hand when the call does not say; 0: never", 0, 3600000, NULL},
    {"shutdown-grace", CONF_DURATION, &opt.shutdown_grace_ms, "TIME",
     "how long calls may still take after SIGTERM", 0, 600000, NULL},
    {"snapshot-steps", CONF_INT, &opt.snapshot_steps, "N",
     "a running job's snapshot is written after so many steps", 1, 1000000, NULL},
    {"max-active-mib", CONF_INT, &opt.max_active_mib, "N",
     "MiB of memory for jobs that wait for a host or run; submits and answers beyond it are refused", 1, 1048576, NULL},
    {"max-waiting-jobs", CONF_INT, &opt.max_waiting_jobs, "N",
     "jobs that may wait for a host; submits beyond it are refused", 1, 100000000, NULL},
    {"max-steps", CONF_INT, &opt.max_steps, "N",
     "steps that a job may make between two inputs before it is paused with reason LIMIT, unless its flow says otherwise; 0: no limit", 0, 4294967295, NULL},
    {"max-depth", CONF_INT, &opt.max_depth, "N",
     "how deep jobs may start jobs before one is paused with reason LIMIT, unless its flow says otherwise; 0: no limit", 0, 4294967295, NULL},
    {"fair-by", CONF_STRING, &opt.fair_by, "LABEL",
     "label of jobs between whose values hosts go round when jobs wait for them; not set: between flows", 0, 256, NULL},
    {"max-calls", CONF_INT, &opt.max_calls, "N",
     "calls of clients that may be open, watches among them; more are refused", 1, 1000000, NULL},
    {"max-connections", CONF_INT, &opt.max_connections, "N",
     "connections that may be open; then idle ones are closed for new ones. RLIMIT_NOFILE may allow fewer", 16, 1000000, NULL},
    {"max-unread-mib", CONF_INT, &opt.max_unread_mib, "N",
     "MiB of replies that clients have not read; beyond it the calls that stand still longest are ended", 1, 1048576, NULL},
    {"request-timeout", CONF_DURATION, &opt.request_timeout_ms, "TIME",
     "how long a call may take to send its request", 100, 3600000, NULL},
    {"watch-heartbeat", CONF_DURATION, &opt.watch_heartbeat_ms, "TIME",
     "how often a watch is told that it is alive when there is nothing else to tell", 50, 3600000, NULL},
    {"init-tls", CONF_STRING, &opt.authority.dir, "DIR",
     "make an authority and certificates in DIR, those that are not there yet, and exit", 0, 4096, NULL},
    {"tls-names", CONF_STRING, &opt.authority.names, "NAMES",
     "for --init-tls: names and addresses by which hosts dial the coordinator, with commas between them", 0, 4096, NULL},
    {"tls-hosts", CONF_STRING, &opt.authority.hosts, "IDS",
     "for --init-tls: ids of hosts", 0, 4096, NULL},
    {"tls-users", CONF_STRING, &opt.authority.users, "NAMES",
     "for --init-tls: names of people", 0, 4096, NULL},
    {"tls-domain", CONF_STRING, &opt.authority.domain, "DOMAIN",
     "for --init-tls: certificates name spiffe://DOMAIN/host/ID and spiffe://DOMAIN/user/NAME", 0, 253, NULL},
    {"verify", CONF_BOOL, &opt.verify, NULL,
     "check the store in --data (a directory, or a file: a backup), which no coordinator may use, and exit: 0 when it is sound", 0, 0, NULL},
    {"backup", CONF_STRING, &opt.backup, "FILE",
     "copy the store in --data to a new file, also while a coordinator uses it, and exit", 0, 4096, NULL},
    {"log-level", CONF_STRING, &opt.log_level, "LEVELS",
     "for example info, or info,rpc=debug", 0, 300, NULL},
    {"log-format", CONF_CHOICE, &opt.log_format, "FORMAT",
     "lines for people or for machines", 0, 0, log_formats},
    {"log-time", CONF_CHOICE, &opt.log_time, "TIME",
     "how lines for people say when: absolute, the time of day (UTC), or relative, since the start", 0, 0, log_times},
};
/* clang-format on */
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static struct app {
    struct server server;
    struct rpc_loop *loop;
    struct rpc_server *rpc;
    bool failed;
} app;

/* The first address of a list; *list goes on to the next, or becomes NULL. */
static char *next_address(const char **list)
{
    const char *comma = strchr(*list, ',');
    char *address = fm_xmemdup(*list, strlen(*list) + 1);
    if (comma != NULL)
        address[comma - *list] = '\0';
    *list = comma != NULL ? comma + 1 : NULL;
    return address;
}

/* Whoever reaches an address that asks for no certificate may do anything. */
static int check_address(const char *address, struct fm_err *err)
{
    if (conf_check_address("listen", address, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (opt.insecure || (tls_files_any(&opt.tls) && opt.tls.ca != NULL) || rpc_is_local(address))
        return 0;
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, "listen",
        "--listen %s lets other machines in: give %s, or --insecure if only those can reach it "
        "who may run anything on every host",
        address, tls_files_any(&opt.tls) ? "--tls-client-ca" : "--tls-cert, --tls-key and --tls-client-ca");
}

static int check_options(struct fm_err *err)
{
    opt.tls.only_13 = opt.tls_min == 1;
    for (const char *rest = opt.listen; rest != NULL;) {
        fm_autofree char *address = next_address(&rest);
        if (check_address(address, err) < 0)
            return -FM_INVALID_ARGUMENT;
    }
    if (opt.roles != NULL && opt.tls.ca == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "roles",
                          "--roles %s names people by their certificates: give --tls-client-ca, too",
                          opt.roles);
    if (opt.heartbeat_ms * 2 > opt.lease_ms)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "heartbeat",
                          "--heartbeat %lldms is more than half of --lease %lldms",
                          (long long)opt.heartbeat_ms, (long long)opt.lease_ms);
    return store_kind_of(opt.data, &opt.dir, err) == NULL ? -FM_INVALID_ARGUMENT : 0;
}

/* ---- on the loop's thread ---- */

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(app.loop);
}

static void on_quiet(void *arg)
{
    (void)arg;
    rpc_server_shutdown(app.rpc, opt.shutdown_grace_ms, on_server_down, NULL);
}

static void begin_stop(void *arg)
{
    (void)arg;
    FM_LOG(INFO, RPC, "stopping");
    server_stop(&app.server, opt.shutdown_grace_ms, on_quiet);
}

static int listen_on(const char *address, struct fm_err *err)
{
    int port;
    if (rpc_server_listen(app.rpc, address, &port, err) < 0)
        return -FM_UNAVAILABLE;
    if (port > 0)
        printf("listening on %.*s:%d\n", (int)(strrchr(address, ':') - address), address, port);
    else
        printf("listening on %s\n", address);
    FM_LOG(INFO, RPC, "listening", FM_STR("address", address), FM_I64("port", port),
           FM_STR("tls", tls_files_any(&opt.tls) && port > 0 ? "yes" : "no"),
           FM_STR("version", FERMATA_VERSION));
    return 0;
}

static void on_recovered(void *arg)
{
    (void)arg;
    fm_auto(fm_err) err = {0};
    int rc = 0;
    for (const char *rest = opt.listen; rest != NULL && rc == 0;) {
        fm_autofree char *address = next_address(&rest);
        rc = listen_on(address, &err);
    }
    if (rc < 0) {
        fprintf(stderr, "coordinator: %s\n", err.msg);
        app.failed = true;
        (void)kill(getpid(), SIGTERM);
        return;
    }
    rpc_server_start(app.rpc);
    if (fflush(stdout) != 0)
        FM_LOG(WARN, RPC, "stdout cannot be written, ignoring");
}

static void start(void *arg)
{
    (void)arg;
    server_start(&app.server);
}

static void *loop_main(void *arg)
{
    (void)arg;
    rpc_loop_run(app.loop);
    return NULL;
}

/* ---- the main thread ---- */

static void take_roles(void *arg)
{
    server_set_roles(&app.server, arg);
}

static void read_anew(void)
{
    fm_auto(fm_err) err = {0};
    FM_LOG(INFO, RPC, "SIGHUP: certificates and roles are read anew");
    rpc_server_reload(app.rpc);
    struct roles *roles = opt.roles != NULL ? roles_read(opt.roles, &err) : NULL;
    if (opt.roles != NULL && roles == NULL)
        FM_LOG(ERROR, RPC, "the roles cannot be read anew, going on with the old ones", FM_ERR(&err));
    else if (roles != NULL && !rpc_loop_post(app.loop, take_roles, roles))
        roles_free(roles);
}

static void wait_for_signal(const sigset_t *signals)
{
    int sig;
    for (;;) {
        if (sigwait(signals, &sig) != 0)
            continue;
        if (sig != SIGHUP)
            return;
        read_anew();
    }
}

/* What would be found wrong only when the store is open. */
static int check_tls(struct fm_err *err)
{
    if (!tls_files_any(&opt.tls))
        return 0;
    struct tls_context *context = tls_context_new(TLS_SERVER, &opt.tls, err);
    tls_context_free(context);
    return context == NULL ? -FM_INVALID_ARGUMENT : 0;
}

static int run(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (tls_files_any(&opt.tls))
        sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    struct fm_err err = {0};
    struct fm_log_config log = {.fd = STDERR_FILENO,
                                .json = opt.log_format == 1,
                                .absolute = opt.log_time == 0,
                                .levels = opt.log_level};
    if (fm_log_start(&log, &err) < 0) {
        fm_err_wrap(&err, "--log-level %s", opt.log_level);
        fprintf(stderr, "coordinator: %s\n", err.msg);
        return 2;
    }
    struct roles *roles = NULL;
    if (check_tls(&err) < 0 || (opt.roles != NULL && (roles = roles_read(opt.roles, &err)) == NULL)) {
        fm_log_stop();
        fprintf(stderr, "coordinator: %s\n", err.msg);
        return 2;
    }
    const struct store_events events = {server_store_notify, &app.server};
    struct store *store = store_open(opt.data, &events, &err);
    if (store == NULL) {
        roles_free(roles);
        fm_log_stop();
        fprintf(stderr, "coordinator: %s\n", err.msg);
        return 1;
    }
    rpc_global_init();
    app.loop = rpc_loop_new();
    struct rpc_server_config rpc = {.max_message_bytes = FM_MAX_FROM_HOST_BYTES,
                                    .max_connections = (size_t)opt.max_connections,
                                    .request_ms = (int)opt.request_timeout_ms,
                                    .max_unread_bytes = (size_t)opt.max_unread_mib * 1024 * 1024};
    struct core_config core = {
        .lease_ms = (uint32_t)opt.lease_ms,
        .heartbeat_ms = (uint32_t)opt.heartbeat_ms,
        .pause_grace_ms = (uint32_t)opt.pause_grace_ms,
        .snapshot_steps = (uint32_t)opt.snapshot_steps,
        .watch_heartbeat_ms = (uint32_t)opt.watch_heartbeat_ms,
        .max_active_bytes = (size_t)opt.max_active_mib * 1024 * 1024,
        .max_waiting_jobs = (size_t)opt.max_waiting_jobs,
        .limits = {.steps = (uint32_t)opt.max_steps, .depth = (uint32_t)opt.max_depth},
        .fair_by = opt.fair_by,
        .seed = fm_random_seed()
    };
    app.rpc = rpc_server_new(app.loop, &rpc);
    if (tls_files_any(&opt.tls) && rpc_server_secure(app.rpc, &opt.tls, &err) < 0)
        fm_abort(err.msg); /* they were right a moment ago */
    server_init(&app.server, app.loop, app.rpc, store, &core, on_recovered, NULL);
    app.server.max_calls = (size_t)opt.max_calls;
    server_set_roles(&app.server, roles);
    (void)rpc_loop_post(app.loop, start, NULL);
    pthread_t loop;
    if (pthread_create(&loop, NULL, loop_main, NULL) != 0)
        fm_abort("the loop's thread could not be started");
    wait_for_signal(&signals);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* a second signal ends the process at once */
    (void)rpc_loop_post(app.loop, begin_stop, NULL);
    pthread_join(loop, NULL);
    store_close(store);
    server_done(&app.server);
    rpc_server_free(app.rpc);
    rpc_loop_free(app.loop);
    rpc_global_shutdown();
    fm_log_stop();
    return app.failed ? 1 : 0;
}

/* --verify and --backup. */
static int look_after_store(void)
{
    fm_auto(fm_err) err = {0};
    struct fm_log_config log = {
        .fd = STDERR_FILENO, .json = opt.log_format == 1, .absolute = opt.log_time == 0, .levels = "warn"};
    if (fm_log_start(&log, &err) < 0) {
        fprintf(stderr, "coordinator: %s\n", err.msg);
        return 2;
    }
    int rc = opt.verify ? store_verify(opt.dir, stdout, &err) : store_backup(opt.dir, opt.backup, &err);
    fm_log_stop();
    if (rc < 0)
        fprintf(stderr, "coordinator: %s\n", err.msg);
    else if (!opt.verify)
        printf("%s is a backup of the store in %s\n", opt.backup, opt.dir);
    return rc == 0 ? 0 : 1;
}

/* --init-tls. */
static int make_authority(void)
{
    fm_auto(fm_err) err = {0};
    if (authority_init(&opt.authority, stdout, &err) == 0 && fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "coordinator: %s\n", err.msg);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    (void)umask(0077); /* what it writes is its user's alone, whatever it was started with */
    struct fm_err err = {0};
    enum conf_action action;
    int rc = conf_read(options, N_OPTIONS, argc, argv, &action, &err);
    if (rc == 0 && action == CONF_RUN)
        rc = check_options(&err);
    int code = 0;
    if (rc < 0) {
        fprintf(stderr, "coordinator: %s\n", err.msg);
        code = 2;
    } else if (action == CONF_HELP) {
        conf_help(stdout, "coordinator", "owns the state of Fermata's jobs and hands them to host daemons",
                  options, N_OPTIONS);
    } else if (action == CONF_VERSION) {
        printf("coordinator %s\n", FERMATA_VERSION);
    } else if (opt.authority.dir != NULL) {
        code = make_authority();
    } else if (opt.verify || opt.backup != NULL) {
        code = look_after_store();
    } else {
        code = run();
    }
    conf_done(options, N_OPTIONS);
    return code;
}

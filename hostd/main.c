/* hostd's life: read options, register the routine types, run the daemon. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "conf.h"
#include "daemon.h"
#include "http.h"
#include "id.h"
#include "jq_eval.h"
#include "log.h"
#include "mem.h"
#include "name.h"
#include "plugin.h"
#include "prices.h"
#include "process.h"
#include "registry.h"
#include "rpc.h"
#include "secrets.h"
#include "supervisor.h"
#include "wire_nano.h"

/* Tests build this daemon with routine types of their own. */
#ifndef ADD_TYPES
#define ADD_TYPES registry_add_builtin
#else
int ADD_TYPES(struct registry *r, struct fm_err *err);
#endif

static const char *const log_formats[] = {"text", "json", NULL};
static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const log_times[] = {"absolute", "relative", NULL};

static struct options {
    const char *coordinator, *id, *log_level, *secrets, *ca_file, *plugins, *prices;
    struct tls_files tls;
    int tls_min;
    bool insecure;
    struct conf_labels labels, secret_env;
    int64_t capacity, inbox_mib, drain_timeout_ms, workers;
    int log_format, log_time;
    bool no_supervisor;
} opt = {.coordinator = "127.0.0.1:7420",
         .log_level = "info",
         .log_time = 1,
         .capacity = 64,
         .inbox_mib = 1024,
         .drain_timeout_ms = 10000,
         .workers = 4};

/* clang-format off */
static const struct conf_option options[] = {
    {"coordinator", CONF_STRING, &opt.coordinator, "HOST:PORT",
     "the coordinator; or unix:/PATH", 0, 300, NULL},
    {"tls-ca", CONF_STRING, &opt.tls.ca, "FILE",
     "TLS: who signs the coordinator's certificate; without it the system's authorities do", 0, 4096, NULL},
    {"tls-cert", CONF_STRING, &opt.tls.cert, "FILE",
     "TLS: the certificate of this host", 0, 4096, NULL},
    {"tls-key", CONF_STRING, &opt.tls.key, "FILE",
     "TLS: its key", 0, 4096, NULL},
    {"tls-min", CONF_CHOICE, &opt.tls_min, "VERSION",
     "TLS: the oldest version", 0, 0, tls_versions},
    {"insecure", CONF_BOOL, &opt.insecure, NULL,
     "speak to a coordinator on another machine without TLS", 0, 0, NULL},
    {"id", CONF_STRING, &opt.id, "NAME",
     "id of this host; the machine's name if not given", 0, 128, NULL},
    {"label", CONF_LABEL, &opt.labels, "KEY=VALUE",
     "a label, for placement", 0, 0, NULL},
    {"capacity", CONF_INT, &opt.capacity, "N",
     "how many jobs it takes at once", 1, 100000, NULL},
    {"inbox-mib", CONF_INT, &opt.inbox_mib, "N",
     "MiB of data that its jobs may bring; more jobs are refused", 1, 1048576, NULL},
    {"drain-timeout", CONF_DURATION, &opt.drain_timeout_ms, "TIME",
     "how long it may take to give jobs back after SIGTERM", 0, 3600000, NULL},
    {"workers", CONF_INT, &opt.workers, "N",
     "threads for handlers that block", 1, 256, NULL},
    {"plugins", CONF_STRING, &opt.plugins, "FILES",
     "shared objects with routine types, FILE[:FILE...]", 0, 4096, NULL},
    {"prices", CONF_STRING, &opt.prices, "FILE",
     "what model calls cost, JSON", 0, 4096, NULL},
    {"secrets", CONF_STRING, &opt.secrets, "FILE",
     "lines NAME=ORIGIN VALUE; only its owner may have access", 0, 4096, NULL},
    {"secret-env", CONF_LABEL, &opt.secret_env, "VAR=ORIGIN",
     "a variable that is a secret, and where it may be sent (ORIGIN[,ORIGIN...])", 0, 0, NULL},
    {"ca-file", CONF_STRING, &opt.ca_file, "FILE",
     "certificates to trust besides the system's", 0, 4096, NULL},
    {"log-level", CONF_STRING, &opt.log_level, "LEVELS",
     "for example info, or info,llm=debug", 0, 300, NULL},
    {"log-format", CONF_CHOICE, &opt.log_format, "FORMAT",
     "lines for people or for machines", 0, 0, log_formats},
    {"log-time", CONF_CHOICE, &opt.log_time, "TIME",
     "how lines for people say when: absolute, the time of day (UTC), or relative, since the start", 0, 0, log_times},
    {"no-supervisor", CONF_BOOL, &opt.no_supervisor, NULL,
     "run without the process that restarts the daemon when it dies and has its jobs moved at once; for debuggers", 0, 0, NULL},
};
/* clang-format on */
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static int check_options(struct fm_err *err)
{
    if (conf_check_address("coordinator", opt.coordinator, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (opt.id == NULL) {
        char name[129] = "";
        if (gethostname(name, sizeof(name) - 1) < 0 || name[0] == '\0')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "id", "the machine has no name: give --id");
        opt.id = fm_xstrdup(name);
    }
    if (!fm_name_ok(opt.id))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "id", "--id %.100s: expected " FM_NAME_RULE, opt.id);
    opt.tls.only_13 = opt.tls_min == 1;
    if (!opt.insecure && !tls_files_any(&opt.tls) && !rpc_is_local(opt.coordinator))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "coordinator",
                          "--coordinator %s is not this machine: give --tls-ca, --tls-cert and --tls-key, or "
                          "--insecure if nobody else can reach that network",
                          opt.coordinator);
    return 0;
}

static int serve(const struct registry *registry, const struct secrets *secrets, struct rpc_dialer *dialer,
                 const char *incarnation)
{
    fm_autofree struct engine_label *labels = fm_xcalloc(opt.labels.n + 1, sizeof(*labels));
    for (size_t i = 0; i < opt.labels.n; i++)
        labels[i] = (struct engine_label){opt.labels.items[i].key, opt.labels.items[i].value};
    struct daemon_config cfg = {
        .target = opt.coordinator,
        .dialer = dialer,
        .drain_timeout_ms = opt.drain_timeout_ms,
        .outside = {secrets,              opt.ca_file},
        .workers = (size_t)opt.workers,
        .engine = { .host_id = opt.id,
                    .incarnation = incarnation,
                    .version = FERMATA_VERSION,
                    .labels = labels,
                    .n_labels = opt.labels.n,
                    .capacity = (uint32_t)opt.capacity,
                    .inbox_bytes = (size_t)opt.inbox_mib * 1024 * 1024,
                    .registry = registry,
                    .seed = fm_random_seed()},
        .attached = supervisor_attached,
        .task_begins = supervisor_task_begins,
        .task_ends = supervisor_task_ends,
        .stop_signal = opt.no_supervisor ? 0 : SUPERVISOR_STOP_SIGNAL
    };
    return daemon_run(&cfg);
}

static struct secrets *read_secrets(struct fm_err *err)
{
    fm_autofree struct secrets_variable *v = fm_xcalloc(opt.secret_env.n + 1, sizeof(*v));
    for (size_t i = 0; i < opt.secret_env.n; i++)
        v[i] = (struct secrets_variable){opt.secret_env.items[i].key, opt.secret_env.items[i].value};
    struct secrets *s = secrets_read(opt.secrets, v, opt.secret_env.n, err);
    return s;
}

static int run(const char *incarnation)
{
    fm_auto(fm_err) err = {0};
    struct fm_log_config log = {.fd = STDERR_FILENO,
                                .json = opt.log_format == 1,
                                .absolute = opt.log_time == 0,
                                .levels = opt.log_level};
    struct registry *registry = registry_new();
    struct secrets *secrets = NULL;
    struct rpc_dialer *dialer = NULL;
    int code = 2;
    process_raise_files();
    if (fm_log_start(&log, &err) == 0) {
        if (nano_self_test(&err) == 0 && ADD_TYPES(registry, &err) == 0 &&
            prices_read(opt.prices, &err) == 0 && plugins_load(opt.plugins, registry, &err) == 0 &&
            http_check_ca(opt.ca_file, &err) == 0 && (secrets = read_secrets(&err)) != NULL &&
            (!tls_files_any(&opt.tls) || (dialer = rpc_dialer_new(&opt.tls, &err)) != NULL))
            code = serve(registry, secrets, dialer, incarnation);
        rpc_dialer_free(dialer);
        fm_log_stop();
    }
    secrets_free(secrets);
    prices_free();
    if (err.code != FM_OK)
        fprintf(stderr, "hostd: %s\n", err.msg);
    registry_free(registry);
    return code;
}

static int run_supervised(void)
{
    const struct supervisor_config cfg = {.target = opt.coordinator,
                                          .tls = tls_files_any(&opt.tls) ? &opt.tls : NULL,
                                          .host_id = opt.id,
                                          .log_levels = opt.log_level,
                                          .log_json = opt.log_format == 1,
                                          .log_absolute = opt.log_time == 0,
                                          .run = run};
    return supervisor_run(&cfg);
}

static int run_alone(void)
{
    char incarnation[27];
    supervisor_new_incarnation(incarnation);
    return run(incarnation);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], PROCESS_CHILD_ARG) == 0)
        return process_child_main(argc, argv);
    if (argc == 3 && strcmp(argv[1], PLUGIN_PROBE_ARG) == 0)
        return plugin_probe_main(argv[2]);
    if (supervisor_is_certifier(argc, argv))
        return supervisor_certifier_main(argv);
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    fm_auto(fm_err) err = {0};
    enum conf_action action;
    int rc = conf_read(options, N_OPTIONS, argc, argv, &action, &err);
    if (rc == 0 && action == CONF_RUN)
        rc = check_options(&err);
    int code = 0;
    if (rc < 0) {
        fprintf(stderr, "hostd: %s\n", err.msg);
        code = 2;
    } else if (action == CONF_HELP) {
        conf_help(stdout, "hostd", "runs the jobs that a Fermata coordinator hands to it", options,
                  N_OPTIONS);
    } else if (action == CONF_VERSION) {
        printf("hostd %s\n", FERMATA_VERSION);
    } else {
        code = opt.no_supervisor ? run_alone() : run_supervised();
    }
    conf_done(options, N_OPTIONS);
    return code;
}

/* When, of what and on which machine a run measured. See bench.h. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static double load_start;
static char date[32];

static double load(void)
{
    double v = 0;
    return getloadavg(&v, 1) == 1 ? v : 0;
}

void bench_about_start(void)
{
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    load_start = load();
}

bool bench_about_busy(char *out, size_t n)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(out, n, "the load average was %.1f at the start, on %ld cores", load_start, cores);
    return load_start > 2 * (double)cores;
}

/* The value of a line "key : value" of /proc/cpuinfo. */
static void cpu_model(char *out, size_t n)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, n, "unknown");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        const char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, n, "%s", value + 2);
        break;
    }
    if (f != NULL)
        fclose(f);
}

json_t *bench_about(void)
{
    struct utsname u;
    char cpu[256], kernel[3 * sizeof(u.sysname)] = "unknown";
    const char *commit = getenv("BENCH_COMMIT");
    cpu_model(cpu, sizeof(cpu));
    if (uname(&u) == 0)
        snprintf(kernel, sizeof(kernel), "%s %s %s", u.sysname, u.release, u.machine);
    return json_pack("{s:s,s:s,s:s*,s:{s:I,s:s,s:s},s:f,s:f}", "date", date, "version", FERMATA_VERSION,
                     "commit", commit != NULL && commit[0] != '\0' ? commit : NULL, "machine", "cores",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "kernel", kernel, "cpu", cpu, "load_start",
                     load_start, "load_end", load());
}

/* What /proc says of the daemons. See bench.h. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static char *proc_file(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return file_text(path);
}

static double after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at == NULL ? 0 : strtod(at + strlen(key) + 1, NULL);
}

long bench_status(pid_t pid, const char *key)
{
    char *text = proc_file(pid, "status");
    long v = (long)after(text, key);
    free(text);
    return v;
}

double bench_cpu(pid_t pid)
{
    char *text = proc_file(pid, "stat"), *at = strrchr(text, ')');
    double ticks = 0;
    for (int field = 2; at != NULL && field < 15; field++) {
        at = strchr(at + 1, ' ');
        if (at != NULL && field >= 13)
            ticks += strtod(at, NULL);
    }
    free(text);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

double bench_written(pid_t pid)
{
    char *text = proc_file(pid, "io");
    double v = after(text, "write_bytes");
    free(text);
    return v;
}

double bench_now(void)
{
    return (double)fm_now_mono_us() / 1e6;
}

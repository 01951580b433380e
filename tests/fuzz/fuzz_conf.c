/* A file of configuration: it is read, or refused with a reason. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const colours[] = {"red", "green", NULL};
    const char *text = NULL;
    int64_t number = 7, duration = 1000;
    bool flag = false;
    int colour = 0;
    struct conf_labels labels = {0};
    const struct conf_option options[] = {
        {.name = "text", .kind = CONF_STRING, .target = &text, .arg = "T",                      .help = "",    .max = 20},
        {.name = "number",              .kind = CONF_INT,                  .target = &number,    .arg = "N", .help = "", .max = 100},
        {.name = "duration",
         .kind = CONF_DURATION,
         .target = &duration,
         .arg = "D",
         .help = "",
         .max = 3600000},
        {.name = "flag",     .kind = CONF_BOOL,                      .target = &flag,                                     .arg = "",                                                       .help = ""                                              },
        {.name = "colour",
         .kind = CONF_CHOICE,
         .target = &colour,
         .arg = "C",
         .help = "",
         .max = 0,
         .choices = colours},
        {.name = "label",     .kind = CONF_LABEL,                          .target = &labels,                                             .arg = "L",                                                                    .help = ""                                                                                }
    };
    const size_t n = sizeof(options) / sizeof(options[0]);
    char path[64], program[] = "p", config[] = "--config";
    char *argv[] = {program, config, path, NULL};
    enum conf_action action;
    struct fm_err err = {0};
    int fd = memfd_create("conf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (conf_read(options, n, 3, argv, &action, &err) == 0) {
        if (number < 0 || number > 100 || duration < 0 || duration > 3600000 || colour < 0 || colour > 1)
            abort();
    } else if (err.msg[0] == '\0') {
        abort();
    }
    conf_done(options, n);
    fm_err_done(&err);
    close(fd);
    return 0;
}

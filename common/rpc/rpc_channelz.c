/* Reads channelz's JSON for two of its members. See rpc_channelz.h. */
#include "rpc_channelz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#define AHEAD 64 /* numbers that other things may have taken */

intptr_t rpc_channelz_find(int fd, intptr_t *last)
{
    char name[32];
    snprintf(name, sizeof(name), "\"chttp2 fd:%d\"", fd);
    for (intptr_t id = *last + 1; id < *last + AHEAD; id++) {
        char *json = grpc_channelz_get_socket(id);
        bool found = json != NULL && strstr(json, name) != NULL;
        gpr_free(json);
        if (found)
            return *last = id;
    }
    (*last)++; /* it is closed already, and took one number */
    return 0;
}

int64_t rpc_channelz_streams(intptr_t id)
{
    static const char key[] = "\"streamsStarted\":\"";
    char *json = id != 0 ? grpc_channelz_get_socket(id) : NULL;
    const char *at = json != NULL ? strstr(json, key) : NULL;
    int64_t n = at != NULL ? strtoll(at + sizeof(key) - 1, NULL, 10) : -1;
    gpr_free(json);
    return n;
}

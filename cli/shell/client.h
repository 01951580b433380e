/* Calls to a coordinator, with requests and replies as JSON. Connects at the first call. One thread. */
#ifndef FM_CLI_CLIENT_H
#define FM_CLI_CLIENT_H

#include <jansson.h>

#include "err.h"
#include "pb_pool.h"
#include "tls_files.h"

struct cli_client;

/* `address` is HOST:PORT or unix:/PATH and is copied; `tls` NULL: plaintext. NULL with err: which of its
 * files is not right. Release with cli_client_free. */
struct cli_client *cli_client_new(const char *address, const struct tls_files *tls, struct fm_err *err);
void cli_client_free(struct cli_client *c);
const char *cli_client_address(const struct cli_client *c);
/* Of all messages that the coordinator serves. */
const struct pb_pool *cli_client_pool(const struct cli_client *c);

/* Calls "Jobs/GetJob" (of fermata.v1; or a full name with the package). Returns 0 and the reply for
 * json_decref, or -code: the request does not fit (FM_INVALID_ARGUMENT, with the field), or what the
 * coordinator said, with the fields it named. timeout_ms 0: none. */
int cli_call(struct cli_client *c, const char *method, json_t *request, long timeout_ms, json_t **ret,
             struct fm_err *err) FM_MUST_CHECK;
/* Calls a method with a stream of replies; on_reply(arg, reply) is called for each and ends the call by
 * returning false. The reply is the caller's again after that. Returns 0 at the end of the stream. */
int cli_stream(struct cli_client *c, const char *method, json_t *request, long timeout_ms,
               bool (*on_reply)(void *arg, json_t *reply), void *arg, struct fm_err *err) FM_MUST_CHECK;

#endif

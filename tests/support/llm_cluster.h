/* A cluster whose two hosts know a server that speaks both providers' protocols and checks every request
 * against what they publish (llm_server.py). One a test program. */
#ifndef FM_TEST_LLM_CLUSTER_H
#define FM_TEST_LLM_CLUSTER_H

#include "cluster.h"

#define LLM_KEY "sk-very-secret-key-7531" /* "MY_KEY" among the secrets of the hosts */

extern struct llm {
    struct cluster c;
    struct proc server;
    char base[64];         /* of the server's URLs */
    const char *placement; /* of the next jobs: ",'placement':{…}" */
} llm;

extern const char *const llm_providers[2];

/* Setup and teardown of the group. In the end the key is nowhere but in the requests: in no log, in no state.
 */
int llm_start(void **state);
int llm_stop(void **state);
/* Writes the secrets of hosts that are started after this: MY_KEY is for the origin of llm.base. */
void llm_write_secrets(void);
/* Starts a server; cert and key may be NULL. Says where it is. */
void llm_start_server(struct proc *p, const char *log_name, const char *scheme, const char *cert,
                      const char *key, char ret_url[64]);
/* Starts host i, which knows key and prices, with a label of its name and one more option (may be NULL). */
void llm_start_host(int i, const char *id, const char *option, const char *value);
/* Submits a job of an agent with a tool "lookup" that a log routine answers; `more` is more of its
 * configuration, `policy` more of the routine. The id is valid until the next call. */
const char *llm_submit(const char *provider, const char *model, const char *more, const char *policy);
/* The server's requests of this model, as an array for json_decref. None may have been refused. */
json_t *llm_requests(const char *model);

#endif

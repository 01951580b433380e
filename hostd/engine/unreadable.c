/* A job that came in a message which this host cannot read. See unreadable.h. */
#include "unreadable.h"

#include <string.h>

#include "engine_state.h"
#include "hjob.h"
#include "hsession.h"
#include "kinds.h"
#include "log.h"
#include "release.h"
#include "wire.h"

#define ID_BYTES 26

/* Job id and epoch have the same numbers in Assign and Deliver. */
_Static_assert(fermata_v1_Assign_job_id_tag == fermata_v1_Deliver_job_id_tag &&
                   fermata_v1_Assign_epoch_tag == fermata_v1_Deliver_epoch_tag,
               "Assign and Deliver begin alike");

static bool read_job(struct fm_bytes body, struct unreadable *ret_job)
{
    struct wire_reader r = wire_reader(body);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    bool has_id = false, has_epoch = false;
    while (!(has_id && has_epoch) && wire_next(&r, &field, &type, &val, &len) > 0) {
        if (field == fermata_v1_Assign_job_id_tag && type == WIRE_TYPE_LEN && len.n == ID_BYTES &&
            wire_text_ok(len.p, len.n)) {
            memcpy(ret_job->id, len.p, ID_BYTES);
            ret_job->id[ID_BYTES] = '\0';
            has_id = true;
        } else if (field == fermata_v1_Assign_epoch_tag && type == WIRE_TYPE_VARINT) {
            ret_job->epoch = (uint32_t)val;
            has_epoch = true;
        }
    }
    return has_id && has_epoch;
}

bool unreadable_job(struct fm_bytes message, fermata_v1_CoordinatorMessage *m, struct unreadable *ret_job)
{
    struct wire_reader r = wire_reader(message);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len, body = FM_NO_BYTES;
    int got;
    memset(m, 0, sizeof(*m));
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (field == fermata_v1_CoordinatorMessage_seq_tag && type == WIRE_TYPE_VARINT)
            m->seq = val;
        else if (field == fermata_v1_CoordinatorMessage_ack_tag && type == WIRE_TYPE_VARINT)
            m->ack = val;
        else if ((field == fermata_v1_CoordinatorMessage_assign_tag ||
                  field == fermata_v1_CoordinatorMessage_deliver_tag) &&
                 type == WIRE_TYPE_LEN) {
            m->which_body = (pb_size_t)field;
            body = len;
        }
    }
    struct unreadable job = {0};
    if (got < 0 || m->which_body == 0 || !read_job(body, &job))
        return false;
    *ret_job = job;
    return true;
}

void unreadable_refuse(struct session *s, const struct unreadable *unread, const char *why)
{
    struct hjob *job;
    FM_LOG(WARN, STATE, "a job cannot be read; giving it back", FM_STR("job", unread->id),
           FM_U64("epoch", unread->epoch), FM_STR("why", why));
    HASH_FIND(hh, s->engine->jobs, unread->id, ID_BYTES, job);
    if (job != NULL && job->epoch == unread->epoch) {
        hjob_release(job, RELEASE_REFUSED, why);
        return;
    }
    if (job != NULL && job->epoch > unread->epoch)
        return; /* older than what it has */
    if (job != NULL)
        hjob_drop(job);
    fermata_v1_Release m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(unread->id);
    m.epoch = unread->epoch;
    m.reason = (fermata_v1_ReleaseReason)RELEASE_REFUSED;
    m.message = pb_var_str(why);
    session_flush(s);
    session_say(s, fermata_v1_HostMessage_release_tag, fermata_v1_Release_fields, &m);
}

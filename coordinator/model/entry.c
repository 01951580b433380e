/* Entries of a journal as clients see them. See entry.h. */
#include "entry.h"

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "mem.h"
#include "pbc.h"
#include "times.h"
#include "wire.h"

void entry_put(uint32_t step, uint32_t number, struct fm_bytes body, uint32_t field, struct fm_buf *out)
{
    fm_auto(fm_buf) b = {0};
    fm_buf_append(&b, body.p, body.n);
    if (number > 0)
        fm_buf_put_tag_varint(&b, FIELD_ENTRY_NUMBER, number);
    if (step > 0)
        fm_buf_put_tag_varint(&b, FIELD_ENTRY_AFTER_STEP, step);
    fm_buf_put_len_delim(out, field, b.p, b.n);
}

/* The fields of a step that say when and where it was made, without those that may be large. False: it is not
 * the first under its epoch. */
static bool assignment_of(struct fm_bytes step, struct fm_buf *small)
{
    struct wire_reader r = wire_reader(step);
    uint32_t field;
    enum wire_type type;
    uint64_t value;
    struct fm_bytes body;
    bool found = false;
    while (wire_next(&r, &field, &type, &value, &body) > 0) {
        if (field == FIELD_STEP_NUMBER || field == FIELD_STEP_EPOCH || field == FIELD_STEP_INHERITED)
            fm_buf_put_tag_varint(small, field, value);
        else if (field == FIELD_STEP_HOST || field == FIELD_STEP_COMMITTED_AT ||
                 field == FIELD_STEP_ASSIGNMENT)
            fm_buf_put_len_delim(small, field, body.p, body.n);
        found = found || field == FIELD_STEP_ASSIGNMENT;
    }
    return found;
}

void entry_put_derived(struct fm_bytes step, uint32_t field, struct fm_buf *out)
{
    fm_auto(fm_buf) small = {0};
    if (!assignment_of(step, &small))
        return;
    fm_auto_pb Fermata__V1__Step *s = fermata__v1__step__unpack(NULL, small.n, small.p);
    if (s == NULL || s->assignment == NULL)
        return;
    Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t ms = time_to_ms(s->committed_at) - (int64_t)s->assignment->ms_before;
    at.seconds = fm_ms_seconds(ms);
    at.nanos = fm_ms_nanos(ms);
    e.after_step = s->number - 1;
    e.kind = ENTRY_KIND_ASSIGNED;
    e.at = &at;
    e.from_host = s->assignment->from_host;
    e.to_host = s->host;
    e.epoch = s->epoch;
    e.inherited = s->inherited;
    pb_put(out, field, &e);
}

void entry_inherit(const struct store_journal_record *from, struct fm_buf *out)
{
    uint32_t mark = from->entry == 0 ? FIELD_STEP_INHERITED : FIELD_ENTRY_INHERITED, field;
    struct wire_reader r = wire_reader(from->body);
    enum wire_type type;
    uint64_t value;
    struct fm_bytes body;
    fm_buf_append(out, from->body.p, from->body.n);
    while (wire_next(&r, &field, &type, &value, &body) > 0)
        if (field == mark)
            return; /* the source is a fork itself */
    fm_buf_put_tag_varint(out, mark, 1);
}

int entry_check_journal(const struct store_journal *journal, uint32_t from, uint32_t last, struct fm_err *err)
{
    bool any = false;
    for (size_t i = 0; i < journal->n; i++) {
        const struct store_journal_record *r = &journal->items[i];
        if (r->entry > 0)
            continue;
        if (r->step != from)
            return fm_err_set(
                err, FM_DATA_LOSS, NULL,
                "step %u is missing in the store: step %u follows in its place; restore a backup, or ask for "
                "the steps from %u on",
                from, r->step, r->step);
        any = true;
        from++;
    }
    if (!any && !journal->more && from <= last)
        return fm_err_set(err, FM_DATA_LOSS, NULL, "steps %u to %u are missing in the store", from, last);
    return 0;
}

uint32_t entry_first_step(const struct store_journal *journal)
{
    for (size_t i = 0; i < journal->n; i++)
        if (journal->items[i].entry == 0)
            return journal->items[i].step;
    return 0;
}

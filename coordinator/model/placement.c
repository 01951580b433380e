/* What a job requires of its hosts: a host, labels, a mode that waits. It holds until something else is
 * required; the wish for another host than the last one is on top of it. */
#include "placement.h"

#include <string.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "pbc.h"

static bool waits(Fermata__V1__PlacementMode mode)
{
    return mode == PLACEMENT_MODE_ANOTHER_HOST_ONLY || mode == PLACEMENT_MODE_SAME_HOST;
}

/* It points into both. */
static Fermata__V1__Placement merged(const Fermata__V1__Placement *holds, const Fermata__V1__Placement *said,
                                     enum placement_when when)
{
    Fermata__V1__Placement p = FERMATA__V1__PLACEMENT__INIT;
    bool replaces = said != NULL && (said->anywhere || said->host[0] != '\0' || said->n_labels > 0);
    const Fermata__V1__Placement *from = replaces ? said : holds;
    if (from != NULL) {
        p.host = from->host;
        p.labels = from->labels;
        p.n_labels = from->n_labels;
    }
    if (said != NULL && said->mode != PLACEMENT_MODE_UNSPECIFIED)
        p.mode = said->mode;
    else if (!replaces && holds != NULL && waits(holds->mode))
        p.mode = holds->mode;
    else if (when == PLACEMENT_RESUMES && p.host[0] == '\0')
        p.mode = PLACEMENT_MODE_ANOTHER_HOST;
    return p;
}

void placement_say(Fermata__V1__Placement **holds, const Fermata__V1__Placement *said,
                   enum placement_when when)
{
    Fermata__V1__Placement p = merged(*holds, said, when), *copy = pb_clone(&p);
    if (*holds != NULL)
        fermata__v1__placement__free_unpacked(*holds, NULL);
    *holds = copy;
}

int placement_check_said(const Fermata__V1__Job *head, const Fermata__V1__Placement *said, struct fm_err *err)
{
    const char *last = head->last_host;
    if (said == NULL || last[0] == '\0')
        return 0;
    Fermata__V1__Placement p = merged(head->placement, said, PLACEMENT_RESUMES);
    if (p.host[0] == '\0' || !waits(p.mode) ||
        (strcmp(p.host, last) == 0) == (p.mode == PLACEMENT_MODE_SAME_HOST))
        return 0;
    return fm_err_set(
        err, FM_FAILED_PRECONDITION, "placement.mode",
        "job %s has to run on host %s, its last host is %s: name a host in placement.host, or set "
        "placement.anywhere",
        head->job_id, p.host, last);
}

bool placement_of_child(const Fermata__V1__Placement *holds, Fermata__V1__Placement *ret)
{
    fermata__v1__placement__init(ret);
    if (holds == NULL || (holds->host[0] == '\0' && holds->n_labels == 0))
        return false;
    ret->host = holds->host;
    ret->labels = holds->labels;
    ret->n_labels = holds->n_labels;
    return true;
}

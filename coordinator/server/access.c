/* Who may call what. See access.h. */
#include "access.h"

#include <string.h>

#include "err.h"
#include "roles.h"
#include "rpc.h"
#include "server_calls.h"

unsigned access_rights(const struct roles *roles, const struct fm_principal *who)
{
    char name[FM_PRINCIPAL_BYTES];
    switch (who->kind) {
    case FM_LOCAL:
    case FM_UNIX: /* the socket's mode has let it in */
        return ALL_RIGHTS;
    case FM_USER:
        return roles == NULL ? ALL_RIGHTS & ~RIGHT(ROLE_HOST)
                             : roles_of(roles, fm_principal_text(who, name)) & ~RIGHT(ROLE_HOST);
    case FM_HOST:
        return RIGHT(ROLE_HOST);
    case FM_NOBODY:
    case FM_MEMBER:
        return 0;
    }
    return 0;
}

static const char *const role_names[] = {
    [ROLE_VIEWER] = "viewer", [ROLE_RESPONDER] = "responder", [ROLE_SUBMITTER] = "submitter",
    [ROLE_AUTHOR] = "author", [ROLE_OPERATOR] = "operator",   [ROLE_HOST] = "host"};

bool access_permits(struct rpc_call *call, const struct roles *roles, const char *method,
                    enum method_role needs, struct caller *ret)
{
    char name[FM_PRINCIPAL_BYTES];
    struct fm_err err = {0};
    ret->who = *rpc_call_principal(call);
    ret->rights = access_rights(roles, &ret->who);
    if ((ret->rights & RIGHT(needs)) != 0)
        return true;
    if (ret->who.kind == FM_NOBODY)
        (void)fm_err_set(&err, FM_PERMISSION_DENIED, NULL,
                         "the certificate names nobody: it needs one URI as its subject alternative name, "
                         "spiffe://DOMAIN/user/NAME or spiffe://DOMAIN/host/ID");
    else
        (void)fm_err_set(&err, FM_PERMISSION_DENIED, NULL, "%s needs the role %s, which %s has not", method,
                         role_names[needs], fm_principal_text(&ret->who, name));
    server_fail(call, &err);
    fm_err_done(&err);
    return false;
}

/* ---- who speaks ---- */

/* The text of a request's field, or NULL: it has none of that name. */
static char **find_text(ProtobufCMessage *request, const char *field)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, field);
    if (f == NULL || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    return (char **)(void *)((char *)request + f->offset);
}

bool access_set_speaker(const struct caller *caller, ProtobufCMessage *request, struct fm_arena *arena)
{
    static const char *const fields[] = {"answered_by", "by", "sent_by"};
    char text[FM_PRINCIPAL_BYTES], **said = NULL, **on_behalf_of = find_text(request, "on_behalf_of");
    if (!fm_principal_is_proved(&caller->who))
        return true;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && said == NULL; i++)
        said = find_text(request, fields[i]);
    if (said == NULL)
        return true;
    const char *name = fm_principal_text(&caller->who, text);
    char *copy = fm_arena_alloc(arena, strlen(name) + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, name, strlen(name) + 1);
    if (on_behalf_of != NULL && (*on_behalf_of)[0] == '\0' && strcmp(*said, name) != 0)
        *on_behalf_of = *said;
    *said = copy;
    return true;
}

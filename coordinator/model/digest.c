/* SHA-256 of bytes and of messages. See digest.h. */
#include "digest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "buf.h"
#include "mem.h"
#include "pbc.h"
#include "store.h"

static EVP_MD *sha256;

/* Looking the algorithm up costs more than the sum of a short text. It is kept until the process ends. */
static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void core_digest(struct fm_bytes bytes, uint8_t ret[STORE_DIGEST_BYTES])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned int n = 0;
    (void)pthread_once(&once, find_sha256);
    if (sha256 == NULL || EVP_Digest(bytes.p, bytes.n, ret, &n, sha256, NULL) != 1 || n != STORE_DIGEST_BYTES)
        fm_abort("SHA-256 is not available");
}

/* True for the message of a map's entries. */
static bool is_map_entry(const ProtobufCMessageDescriptor *d)
{
    size_t n = strlen(d->name);
    return d->n_fields == 2 && n > 5 && strcmp(d->name + n - 5, "Entry") == 0 &&
           strcmp(d->fields[0].name, "key") == 0 && d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
           strcmp(d->fields[1].name, "value") == 0;
}

static int compare_keys(const void *a, const void *b)
{
    const ProtobufCMessage *x = *(ProtobufCMessage *const *)a, *y = *(ProtobufCMessage *const *)b;
    unsigned int offset = x->descriptor->fields[0].offset;
    return strcmp(*(char *const *)(const void *)((const char *)x + offset),
                  *(char *const *)(const void *)((const char *)y + offset));
}

void canonical_sort(ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        void *member = (char *)message + f->offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(size_t *)(void *)((char *)message + f->quantifier_offset);
            ProtobufCMessage **items = *(ProtobufCMessage ***)member;
            for (size_t k = 0; k < n; k++)
                canonical_sort(items[k]);
            if (n > 1 && is_map_entry(f->descriptor))
                qsort(items, n, sizeof(*items), compare_keys);
            continue;
        }
        bool oneof = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        if (oneof && *(uint32_t *)(void *)((char *)message + f->quantifier_offset) != f->id)
            continue;
        ProtobufCMessage *sub = *(ProtobufCMessage **)member;
        if (sub != NULL)
            canonical_sort(sub);
    }
}

void core_request_digest(const ProtobufCMessage *request, uint8_t ret[STORE_DIGEST_BYTES])
{
    ProtobufCMessage *copy = pb_clone(request);
    canonical_sort(copy);
    fm_auto(fm_buf) b = {0};
    pb_pack(copy, &b);
    core_digest(fm_buf_bytes(&b), ret);
    protobuf_c_message_free_unpacked(copy, NULL);
}

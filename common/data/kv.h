/* Keys and values of a google.protobuf.Struct, kept encoded: a value is decoded only when
 * somebody needs it. A list is kept as its concatenated elements, so that appending costs what
 * is appended, and dropping its first elements costs what is dropped. The order of keys is that of
 * their first setting. Not thread-safe. */
#ifndef FM_KV_H
#define FM_KV_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

struct kv_entry;

struct kv {
    struct kv_entry *entries; /* hash table */
    size_t bytes;             /* of keys and bodies */
};

/* A value as it is kept: an encoded google.protobuf.Value, or the fields of its ListValue. */
struct kv_value {
    bool is_list;
    size_t n_items; /* of a list */
    struct fm_bytes body;
};

void kv_done(struct kv *kv);
/* Sets a key from an encoded Value. */
void kv_set(struct kv *kv, const char *key, size_t n_key, struct fm_bytes value);
/* Sets a key from a value as it is kept. */
void kv_set_kept(struct kv *kv, const char *key, size_t n_key, struct kv_value value);
/* Appends an encoded Value to the list under the key (a missing key is an empty list). The
 * caller has checked that it is one. */
void kv_append(struct kv *kv, const char *key, size_t n_key, struct fm_bytes value);
void kv_remove(struct kv *kv, const char *key, size_t n_key);
/* Drops the first n elements of the list under the key. A list that is empty then goes with its key. */
void kv_drop(struct kv *kv, const char *key, size_t n_key, size_t n);
/* The first element of a list, an encoded Value; *rest is the list behind it. False when it is empty.
 * Valid until the key changes. */
bool kv_first(struct kv_value list, struct fm_bytes *ret_item, struct kv_value *rest);
/* True when the key is there. The view is valid until the key changes. */
bool kv_get(const struct kv *kv, const char *key, size_t n_key, struct kv_value *ret);
/* Appends the encoded Value. */
void kv_put_value(struct kv_value value, struct fm_buf *out);
/* Size and fields of the encoded Struct. */
size_t kv_struct_size(const struct kv *kv);
void kv_put_struct(const struct kv *kv, struct fm_buf *out);
/* Adds all keys of an encoded Struct. Returns 0, or -1 when it is malformed. */
int kv_read_struct(struct kv *kv, struct fm_bytes encoded) FM_MUST_CHECK;
/* Reads a map entry {1: key, 2: value}. Returns 0, or -1 when it is malformed. */
int kv_read_pair(struct fm_bytes pair, struct fm_bytes *ret_key, struct fm_bytes *ret_value) FM_MUST_CHECK;

#endif

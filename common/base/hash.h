/* The hash function of all tables (uthash). Who can choose keys must not be able to choose them so that they
 * collide: then each look-up would go through all of them. So the function has a key of the process, which
 * nobody outside knows: SipHash-1-3 (Aumasson, Bernstein: SipHash: a fast short-input PRF, 2012).
 *
 * Every file of the project is compiled with this header before its own first line (CMakeLists.txt), so that
 * no table has another function. Therefore it includes nothing: a file may still say _GNU_SOURCE.
 *
 * The order in which uthash goes through a table is that of insertion: nothing depends on the key. */
#ifndef FM_HASH_H
#define FM_HASH_H

#define HASH_FUNCTION(key, n, hash) ((hash) = fm_hash((key), (__SIZE_TYPE__)(n)))

/* The hash under the key of the process, which is drawn before main begins. Any thread. */
unsigned fm_hash(const void *key, __SIZE_TYPE__ n);
/* SipHash-1-3 under a key of 16 bytes. */
unsigned long long fm_siphash13(const unsigned char key[16], const void *data, __SIZE_TYPE__ n);

#endif

/* The routine types a host offers. Filled at start, read-only afterwards. */
#ifndef FM_REGISTRY_H
#define FM_REGISTRY_H

#include <fermata/routine.h>

#include "err.h"

struct registry;

struct registry *registry_new(void);
void registry_free(struct registry *r);
/* Checks and adds a type: its table is copied, what it leads to must live as long as the registry.
 * Returns 0,
 * -FM_INVALID_ARGUMENT (the table is not sound, or of an ABI that is not known) or
 * -FM_ALREADY_EXISTS. */
int registry_add(struct registry *r, const struct fm_routine_type *type, struct fm_err *err) FM_MUST_CHECK;
const struct fm_routine_type *registry_find(const struct registry *r, const char *name);
size_t registry_count(const struct registry *r);
const struct fm_routine_type *registry_at(const struct registry *r, size_t i);

/* The handler of a slot, or NULL. */
fm_handler registry_handler(const struct fm_routine_type *type, const char *slot);
bool registry_has_event(const struct fm_routine_type *type, const char *event);
/* Its FM_EVENT_…. */
uint32_t registry_event_flags(const struct fm_routine_type *type, const char *event);
/* Whether tables of this version of the ABI can be read. */
bool registry_abi_known(uint32_t abi);

#endif

/* The routine types that ask people, and that take questions back. */
#ifndef FM_TYPES_ASK_H
#define FM_TYPES_ASK_H

#include <fermata/routine.h>

extern const struct fm_routine_type human_type, race_type;

#endif

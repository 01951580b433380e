/* The routine type exec. */
#ifndef FM_EXEC_H
#define FM_EXEC_H

#include <fermata/routine.h>

extern const struct fm_routine_type exec_type;

#endif

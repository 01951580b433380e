/* The files *.sql, embedded; each ends with a NUL. */
#ifndef FM_STORE_SQLITE_SCHEMA_SQL_H
#define FM_STORE_SQLITE_SCHEMA_SQL_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t sql_schema[], sql_migration_2[], sql_migration_3[], sql_migration_4[], sql_migration_5[],
    sql_migration_6[], sql_migration_7[], sql_migration_8[];
extern const size_t sql_schema_size, sql_migration_2_size, sql_migration_3_size, sql_migration_4_size,
    sql_migration_5_size, sql_migration_6_size, sql_migration_7_size, sql_migration_8_size;

#endif

/* From ECMA-262 to PCRE2. Only what is known to mean the same is copied; everything else is written
 * anew or refused. See ecma_regex.h for what is understood, ecma_syntax.h. */
#include "ecma_syntax.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* White space and line ends of ECMA-262, and all that is neither. */
#define SPACES                                                                                               \
    "\\x{9}-\\x{d} "                                                                                         \
    "\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NO_SPACES                                                                                            \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"            \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"
#define SPACES_ITEMS 20 /* of the longer one */

#define MAX_REPEATS 65535 /* PCRE2's own */

struct reader {
    const char *p; /* what is still to be read */
    struct ecma_syntax *out;
    struct fm_err *err;
};

static int refuse(struct reader *r, const char *fmt, ...) FM_PRINTF(2, 3);
static int refuse(struct reader *r, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return fm_err_set(r->err, FM_INVALID_ARGUMENT, NULL, "%s", text);
}

static void put(struct reader *r, const char *text)
{
    fm_buf_append(&r->out->text, text, strlen(text));
}

static void put_code(struct reader *r, uint32_t code)
{
    char text[16];
    snprintf(text, sizeof(text), "\\x{%x}", code);
    put(r, text);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- escapes ---- */

/* `n` digits as a number, which are read; false: they are not there. */
static bool read_hex(struct reader *r, size_t n, uint32_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        char c = r->p[i];
        uint32_t digit = is_digit(c)              ? (uint32_t)(c - '0')
                         : (c >= 'a' && c <= 'f') ? (uint32_t)(c - 'a' + 10)
                         : (c >= 'A' && c <= 'F') ? (uint32_t)(c - 'A' + 10)
                                                  : 16;
        if (digit == 16)
            return false;
        *ret = *ret << 4 | digit;
    }
    r->p += n;
    return true;
}

static bool is_low_surrogate(uint32_t code)
{
    return code >= 0xdc00 && code <= 0xdfff;
}

/* Behind "\u": "XXXX", "XXXX\uXXXX" of a pair, or "{X…}". */
static int read_unicode(struct reader *r, uint32_t *ret)
{
    uint32_t low;
    if (r->p[0] == '{') {
        size_t n = strspn(r->p + 1, "0123456789abcdefABCDEF");
        r->p++;
        if (n == 0 || n > 6 || !read_hex(r, n, ret) || r->p[0] != '}' || *ret > 0x10ffff)
            return refuse(r, "\\u{…} needs the number of a character, up to 10FFFF");
        r->p++;
    } else if (!read_hex(r, 4, ret)) {
        return refuse(r, "\\u needs four hexadecimal digits");
    }
    if (*ret >= 0xd800 && *ret <= 0xdbff && strncmp(r->p, "\\u", 2) == 0) {
        r->p += 2;
        if (!read_hex(r, 4, &low) || !is_low_surrogate(low))
            return refuse(r, "a surrogate (\\uD800 to \\uDFFF) stands alone");
        *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    }
    if (*ret >= 0xd800 && *ret <= 0xdfff)
        return refuse(r, "a surrogate (\\uD800 to \\uDFFF) stands alone");
    return 0;
}

/* An escape that is one character, behind the backslash. */
static int read_character(struct reader *r, uint32_t *ret)
{
    static const char controls[] = "tnvfr"; /* from 9 on */
    char c = *r->p;
    const char *control = c == '\0' ? NULL : strchr(controls, c);
    if (c == '\0')
        return refuse(r, "it ends in a backslash");
    if ((c >= '1' && c <= '9') || c == 'k')
        return refuse(r, "back references are not allowed");
    r->p++;
    if (c == 'u')
        return read_unicode(r, ret);
    if (c == 'x')
        return read_hex(r, 2, ret) ? 0 : refuse(r, "\\x needs two hexadecimal digits");
    if (c == 'c' && is_letter(*r->p)) {
        *ret = (uint32_t)*r->p++ % 32;
        return 0;
    }
    if (c == '0' && !is_digit(*r->p)) {
        *ret = 0;
        return 0;
    }
    if (control != NULL) {
        *ret = 9 + (uint32_t)(control - controls);
        return 0;
    }
    if (c == '<' || c == '>' || c == '\'' || c == '`')
        return refuse(r, "\\%c is not an escape of ECMA-262 (\\b is a word boundary, ^ and $ are the ends)",
                      c);
    if (is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80 || (unsigned char)c < 0x20)
        return refuse(r, "\\%.*s is not an escape of ECMA-262", (int)fm_utf8_cut(r->p - 1, 4), r->p - 1);
    *ret = (uint32_t)(unsigned char)c;
    return 0;
}

/* General categories by their long names, and how PCRE2 calls them. */
static const struct {
    const char *name, *is;
} categories[] = {
    {"Letter",                "L" },
    {"Cased_Letter",          "L&"},
    {"LC",                    "L&"},
    {"Uppercase_Letter",      "Lu"},
    {"Lowercase_Letter",      "Ll"},
    {"Titlecase_Letter",      "Lt"},
    {"Modifier_Letter",       "Lm"},
    {"Other_Letter",          "Lo"},
    {"Mark",                  "M" },
    {"Combining_Mark",        "M" },
    {"Nonspacing_Mark",       "Mn"},
    {"Spacing_Mark",          "Mc"},
    {"Enclosing_Mark",        "Me"},
    {"Number",                "N" },
    {"Decimal_Number",        "Nd"},
    {"digit",                 "Nd"},
    {"Letter_Number",         "Nl"},
    {"Other_Number",          "No"},
    {"Punctuation",           "P" },
    {"punct",                 "P" },
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation",      "Pd"},
    {"Open_Punctuation",      "Ps"},
    {"Close_Punctuation",     "Pe"},
    {"Initial_Punctuation",   "Pi"},
    {"Final_Punctuation",     "Pf"},
    {"Other_Punctuation",     "Po"},
    {"Symbol",                "S" },
    {"Math_Symbol",           "Sm"},
    {"Currency_Symbol",       "Sc"},
    {"Modifier_Symbol",       "Sk"},
    {"Other_Symbol",          "So"},
    {"Separator",             "Z" },
    {"Space_Separator",       "Zs"},
    {"Line_Separator",        "Zl"},
    {"Paragraph_Separator",   "Zp"},
    {"Other",                 "C" },
    {"Control",               "Cc"},
    {"cntrl",                 "Cc"},
    {"Format",                "Cf"},
    {"Surrogate",             "Cs"},
    {"Private_Use",           "Co"},
    {"Unassigned",            "Cn"},
};

/* "sc:" for "Script="; NULL: the name has no such part. */
static const char *kind_of_property(const char **name)
{
    static const struct {
        const char *prefix, *is;
    } kinds[] = {
        {"General_Category=",  ""    },
        {"gc=",                ""    },
        {"Script=",            "sc:" },
        {"sc=",                "sc:" },
        {"Script_Extensions=", "scx:"},
        {"scx=",               "scx:"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].prefix);
        if (strncmp(*name, kinds[i].prefix, n) == 0) {
            *name += n;
            return kinds[i].is;
        }
    }
    return "";
}

/* "\p{…}" or "\P{…}", behind the p. */
static int read_property(struct reader *r, char p)
{
    char text[96], name[64];
    size_t n = *r->p == '{' ? strcspn(r->p, "}") : 0;
    if (n < 2 || n > sizeof(name) || r->p[n] != '}')
        return refuse(r, "\\%c needs a property of characters, such as {L} or {Script=Greek}", p);
    snprintf(name, sizeof(name), "%.*s", (int)(n - 1), r->p + 1);
    const char *is = name, *kind = kind_of_property(&is);
    if (is[0] == '\0' ||
        is[strspn(is, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] != '\0')
        return refuse(r, "\\%c{%.40s} is not a property of characters", p, name);
    for (size_t i = 0; kind[0] == '\0' && i < sizeof(categories) / sizeof(categories[0]); i++)
        if (strcmp(is, categories[i].name) == 0)
            is = categories[i].is;
    snprintf(text, sizeof(text), "\\%c{%s%s}", p, kind, is);
    put(r, text);
    r->p += n + 1;
    return 0;
}

/* A set of characters behind the backslash ("d", "p{L}"). Returns 0, -code, or 1: it is none. */
static int read_set(struct reader *r, bool in_class)
{
    char c = *r->p;
    const char text[] = {'\\', c, '\0'};
    if (c == '\0' || strchr("dDwWsSpP", c) == NULL)
        return 1;
    r->p++;
    if (c == 'p' || c == 'P')
        return read_property(r, c);
    if (c != 's' && c != 'S') {
        put(r, text);
        return 0;
    }
    if (r->out->most_class_items < SPACES_ITEMS)
        r->out->most_class_items = SPACES_ITEMS;
    if (in_class)
        put(r, c == 's' ? SPACES : NO_SPACES);
    else
        put(r, c == 's' ? "[" SPACES "]" : "[^" SPACES "]");
    return 0;
}

/* ---- classes ---- */

/* Bytes of "[:alpha:]" at p; 0: there is none. */
static size_t posix_class(const char *p)
{
    static const char *const names[] = {"alpha", "lower", "upper", "alnum", "ascii", "blank", "cntrl",
                                        "digit", "graph", "print", "punct", "space", "xdigit"};
    if (strncmp(p, "[:", 2) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(p + 2, names[i], n) == 0 && strncmp(p + 2 + n, ":]", 2) == 0)
            return n + 4;
    }
    return 0;
}

/* Whether "[.x.]", "[=x=]" or "[:x:]" of POSIX is at p. */
static bool is_posix_element(const char *p)
{
    if (p[0] != '[' || (p[1] != '.' && p[1] != '=' && p[1] != ':'))
        return false;
    size_t n = strcspn(p + 2, "]");
    return n >= 2 && p[2 + n] == ']' && p[1 + n] == p[1];
}

static size_t character_bytes(const char *p)
{
    size_t n = 1;
    while (((unsigned char)p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* One character of a class, as it is or escaped. */
static int class_character(struct reader *r)
{
    uint32_t code;
    if (*r->p != '\\') {
        size_t n = character_bytes(r->p);
        if (strchr("[^-", *r->p) != NULL)
            put(r, "\\");
        fm_buf_append(&r->out->text, r->p, n);
        r->p += n;
        return 0;
    }
    r->p++;
    if (*r->p == 'b') {
        r->p++;
        code = 8;
    } else if (read_character(r, &code) < 0) {
        return -1;
    }
    put_code(r, code);
    return 0;
}

/* "\d", "[:alpha:]": what cannot be the end of a range. Returns 0, -code, or 1: it is none. */
static int class_set(struct reader *r)
{
    size_t n = posix_class(r->p);
    if (n > 0) {
        fm_buf_append(&r->out->text, r->p, n);
        r->p += n;
        return 0;
    }
    if (is_posix_element(r->p))
        return refuse(r, "%.*s is not a known class", (int)strcspn(r->p, "]") + 1, r->p);
    if (r->p[0] != '\\')
        return 1;
    r->p++;
    int rc = read_set(r, true);
    if (rc == 1)
        r->p--;
    return rc;
}

/* One item: a set, a character, or a range. */
static int class_item(struct reader *r)
{
    int rc = class_set(r);
    if (rc <= 0)
        return rc;
    if (class_character(r) < 0)
        return -1;
    if (r->p[0] != '-' || r->p[1] == ']' || r->p[1] == '\0')
        return 0;
    r->p++;
    if (r->p[0] == '\\' && r->p[1] != '\0' && strchr("dDwWsSpP", r->p[1]) != NULL)
        return refuse(r, "a range in [] ends in a set of characters, \\%c", r->p[1]);
    put(r, "-");
    return class_character(r);
}

/* Behind "[". */
static int read_class(struct reader *r)
{
    size_t items = 0;
    put(r, "[");
    if (*r->p == '^') {
        put(r, "^");
        r->p++;
    }
    if (*r->p == ']')
        return refuse(r, "[] is empty; a bracket in it is written as \\]");
    for (; *r->p != ']'; items++) {
        if (*r->p == '\0')
            return refuse(r, "a [ lacks its ]");
        if (class_item(r) < 0)
            return -1;
    }
    r->p++;
    put(r, "]");
    if (items > r->out->most_class_items)
        r->out->most_class_items = items;
    return 0;
}

/* ---- groups and repetitions ---- */

/* Behind "(". Groups capture nothing: nobody asks what they have matched. */
static int read_group(struct reader *r)
{
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!"};
    char text[8];
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(r->p, kinds[i], n) != 0)
            continue;
        snprintf(text, sizeof(text), "(%s", kinds[i]);
        put(r, text);
        r->p += n;
        return 0;
    }
    if (strncmp(r->p, "?<", 2) == 0) {
        size_t n = strspn(r->p + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$");
        if (n == 0 || is_digit(r->p[2]) || r->p[2 + n] != '>')
            return refuse(r, "(?< needs the name of a group and >");
        r->p += n + 3;
    } else if (*r->p == '?' || *r->p == '*') {
        return refuse(r, "(%.2s is not a group of ECMA-262", r->p);
    }
    put(r, "(?:");
    return 0;
}

/* Bytes of "{3}", "{3,}" or "{3,5}" at p; 0: it is no repetition. */
static size_t interval(const char *p, unsigned long *ret_most)
{
    size_t from = strspn(p + 1, "0123456789"), at = 1 + from, to = 0;
    *ret_most = 0;
    for (size_t i = 1; i < at; i++)
        *ret_most = *ret_most > MAX_REPEATS ? *ret_most : *ret_most * 10 + (unsigned long)(p[i] - '0');
    if (from > 0 && p[at] == ',') {
        unsigned long most = 0;
        to = strspn(p + at + 1, "0123456789");
        for (size_t i = at + 1; i <= at + to; i++)
            most = most > MAX_REPEATS ? most : most * 10 + (unsigned long)(p[i] - '0');
        *ret_most = most > *ret_most ? most : *ret_most;
        at += 1 + to;
    }
    return from > 0 && p[at] == '}' ? at + 1 : 0;
}

/* Bytes of a repetition at p, without the "?" behind it; 0: it is none. */
static size_t repetition(const char *p, unsigned long *ret_most)
{
    *ret_most = 0;
    if (*p == '*' || *p == '+' || *p == '?')
        return 1;
    return *p == '{' ? interval(p, ret_most) : 0;
}

/* A repetition of `n` bytes. */
static int read_repetition(struct reader *r, size_t n, unsigned long most)
{
    unsigned long next;
    if (most > MAX_REPEATS)
        return refuse(r, "a repetition counts to %d at most", MAX_REPEATS);
    if (most > r->out->most_repeats)
        r->out->most_repeats = most;
    fm_buf_append(&r->out->text, r->p, n);
    r->p += n;
    if (*r->p == '?') {
        put(r, "?");
        r->p++;
    }
    return repetition(r->p, &next) == 0
               ? 0
               : refuse(r, "a repetition cannot be repeated: put the first one into ( )");
}

/* ---- all of it ---- */

static int read_escape(struct reader *r)
{
    uint32_t code;
    if (*r->p == 'b' || *r->p == 'B') {
        put(r, *r->p++ == 'b' ? "\\b" : "\\B");
        return 0;
    }
    int rc = read_set(r, false);
    if (rc <= 0)
        return rc;
    if (read_character(r, &code) < 0)
        return -1;
    put_code(r, code);
    return 0;
}

static int read_brace(struct reader *r)
{
    if (r->p[1] == ',' && r->p[2 + strspn(r->p + 2, "0123456789")] == '}')
        return refuse(r, "a repetition needs its least count, such as {0,5}");
    put(r, "\\{");
    r->p++;
    return 0;
}

static int read_one(struct reader *r)
{
    unsigned long most;
    size_t n = repetition(r->p, &most);
    if (n > 0)
        return read_repetition(r, n, most);
    char c = *r->p;
    if (c == '{')
        return read_brace(r);
    if (c == '\\' || c == '[' || c == '(') {
        r->p++;
        return c == '\\' ? read_escape(r) : c == '[' ? read_class(r) : read_group(r);
    }
    const char plain[] = {c, '\0'};
    if (c == '}' || c == ']')
        put(r, "\\");
    put(r, c == '.' ? "[^\\n\\r\\x{2028}\\x{2029}]" : plain);
    r->p++;
    return 0;
}

int ecma_syntax_read(const char *pattern, struct ecma_syntax *ret, struct fm_err *err)
{
    struct reader r = {pattern, ret, err};
    *ret = (struct ecma_syntax){0};
    while (*r.p != '\0')
        if (read_one(&r) < 0)
            return -FM_INVALID_ARGUMENT;
    fm_buf_append(&ret->text, "", 1);
    return 0;
}

void ecma_syntax_done(struct ecma_syntax *s)
{
    fm_buf_done(&s->text);
}

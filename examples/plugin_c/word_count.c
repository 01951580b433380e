/* A routine type in C, as a plugin: counts words and keeps the sum of all its tasks. */
#include <fermata/routine.h>

static int on_text(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *text = fm_value_string(fm_value_get(data, "text"), NULL);
    double least = fm_value_number(fm_value_get(fm_ctx_config(ctx), "min_letters"), 1);
    if (text == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "data.text must be a string");
    double words = 0, letters = 0;
    for (; *text != '\0'; text++) {
        bool letter = *text != ' ' && *text != '\n' && *text != '\t';
        letters = letter ? letters + 1 : 0;
        words += letter && letters == least; /* it is long enough now */
    }
    double total = fm_value_number(fm_ctx_state_get(ctx, "total"), 0) + words;
    fm_ctx_state_set(ctx, "total", fm_number(ctx, total));
    struct fm_value *out = fm_map(ctx);
    fm_map_set(ctx, out, "words", fm_number(ctx, words));
    fm_map_set(ctx, out, "total", fm_number(ctx, total));
    fm_ctx_emit(ctx, "counted", out);
    return 0;
}

static const struct fm_slot slots[] = {
    {"text", on_text}
};
static const char *const events[] = {"counted"};

/* The coordinator checks flows with it: the handler need not. */
static const char config_schema[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
    " \"min_letters\": {\"type\": \"integer\", \"minimum\": 1, \"default\": 1,"
    "  \"description\": \"Words with fewer letters are not counted.\", \"examples\": [3]}}}";

static const struct fm_routine_type word_count = {.abi = FM_ROUTINE_ABI,
                                                  .name = "word_count",
                                                  .version = 2,
                                                  .slots = slots,
                                                  .n_slots = 1,
                                                  .events = events,
                                                  .n_events = 1,
                                                  .config_schema = config_schema};

static const struct fm_routine_type *const types[] = {&word_count};
const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = types, .n_types = 1};

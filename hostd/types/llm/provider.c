/* The table of providers. See provider.h. */
#include "provider.h"

#include <string.h>

static const struct llm_provider *const providers[] = {&llm_mock, &llm_openai, &llm_anthropic};

const struct llm_provider *llm_provider_find(const char *name)
{
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    return NULL;
}

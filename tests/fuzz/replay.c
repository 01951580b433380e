/* Feeds the files of a corpus to a fuzz target once. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define MAX_BYTES (1024u * 1024)

int main(int argc, char **argv)
{
    uint8_t *data = malloc(MAX_BYTES);
    if (data == NULL)
        return 1;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (f == NULL) {
            perror(argv[i]);
            free(data);
            return 1;
        }
        size_t n = fread(data, 1, MAX_BYTES, f);
        (void)fclose(f);
        (void)LLVMFuzzerTestOneInput(data, n);
    }
    free(data);
    return 0;
}

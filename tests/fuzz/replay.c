/*
 * replay.c - runs a fuzz target once over each file of a directory, without a fuzzer.
 *
 * So that every crash that joined the corpus is tried by each `make test`, with any compiler.
 * Speaks TAP. A missing directory is an empty one.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long size;

    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET)) {
        perror(path);
        exit(1);
    }
    bytes = malloc((size_t)size + !size); // no byte more: sanitizers see a read behind the end
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
}

int main(int argc, char **argv)
{
    DIR *dir;
    struct dirent *entry;
    unsigned done = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 64;
    }
    dir = opendir(argv[1]);
    while (dir && (entry = readdir(dir))) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        fprintf(stderr, "%s\n", path); // the last one before a crash is the culprit
        replay(path);
        printf("ok %u - %s\n", ++done, entry->d_name);
    }
    if (dir)
        closedir(dir);
    printf("1..%u\n", done);
    return 0;
}

/*
 * bench_match.c - what a verdict costs: real lists, real requests, nothing kept between them.
 *
 *      bench_match             all figures
 *      bench_match once A|B    one pass over the requests behind another, in which regular
 *                              expressions are compiled, for callgrind: valgrind --tool=callgrind
 *                              --toggle-collect=counted_pass build/bench/bench_match once A
 *
 * Config A: EasyList and EasyPrivacy; B: with uBlock's default lists. Wants $DEJUNK_SHARED, and
 * to be pinned to one processor (taskset). The best of many passes is the figure that counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "daemon/rulebook.h"
#include "filter/match.h"

enum { PASSES = 25, TIMED_PASSES = 9 };

struct config {
    const char *name, *lists[4];
};
static const struct config configs[] = {
    { "A", { "easylist", "easyprivacy" } },
    { "B", { "easylist", "easyprivacy", "ublock-default-flat" } },
};

struct set {
    struct request *requests;
    size_t count;
};

static void path_of(char *path, size_t size, const char *name)
{
    const char *shared = getenv("DEJUNK_SHARED");

    snprintf(path, size, "%s/engine/%s", shared ? shared : "../shared", name);
}

static struct set read_requests(void)
{
    char path[500];
    struct set set = { 0 };
    struct buffer bytes = { 0 };
    struct span text;

    path_of(path, sizeof path, "open/requests.tsv.gz");
    if (!read_gzip(&bytes, path))
        return set;
    text = buffer_span(&bytes); // of which the requests are parts
    set.requests = calloc(100000, sizeof *set.requests);
    while (text.size && set.count < 100000) {
        struct request *request = &set.requests[set.count++];
        size_t end = span_find_byte(text, '\n');
        struct span line = span_slice(text, 0, end);
        size_t tab = span_find_byte(line, '\t');

        text = span_from(text, end + (end < text.size));
        if (!request_type_of(span_slice(line, 0, tab), &request->type))
            abort();
        line = span_from(line, tab + 1);
        tab = span_find_byte(line, '\t');
        request->source = span_slice(line, 0, tab);
        request->url = span_from(line, tab + 1);
    }
    return set;
}

static struct rulebook *load(const struct config *config, struct span *image)
{
    struct rulebook *rulebook = rulebook_new(NULL, NULL);
    struct list_summary summary;
    struct compile_counts counts;
    struct error error;

    if (rulebook_add_suffixes(rulebook, NULL, &error) != ERROR_NONE)
        fprintf(stderr, "%s\n", error.text);
    for (size_t i = 0; config->lists[i]; i++) {
        char path[500], name[100];
        snprintf(name, sizeof name, "lists/%s.txt.gz", config->lists[i]);
        path_of(path, sizeof path, name);
        if (rulebook_add(rulebook, path, config->lists[i], true, &summary, &error) != ERROR_NONE) {
            fprintf(stderr, "%s\n", error.text);
            exit(1);
        }
    }
    if (rulebook_compile(rulebook, image, &counts, &error) != ERROR_NONE) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    if (getenv("BENCH_VERBOSE"))
        printf("plain %u rules %u by host %u window %u source %u loose %u\n", counts.plain_hosts,
               counts.rules, counts.by_host, counts.by_window, counts.by_source, counts.loose);
    return rulebook;
}

static unsigned pass(struct matcher *matcher, const struct set *set, const uint32_t *order)
{
    unsigned blocked = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct verdict verdict;
        matcher_ask(matcher, &set->requests[order ? order[i] : i], &verdict);
        blocked += verdict.action >= VERDICT_BLOCK;
    }
    return blocked;
}

/* The same under a name of its own. */
static __attribute__((noinline)) unsigned counted_pass(struct matcher *matcher,
                                                       const struct set *set)
{
    return pass(matcher, set, NULL);
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Each request alone, its strings touched just before: the best of several passes for each. */
static void time_each(struct matcher *matcher, const struct set *set)
{
    uint32_t *best = malloc(set->count * sizeof *best);
    uint64_t clock = UINT64_MAX;
    unsigned sum = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t start = now_ns(), end = now_ns();
        if (end - start < clock)
            clock = end - start;
    }
    memset(best, 0xff, set->count * sizeof *best);
    for (int p = 0; p < TIMED_PASSES; p++)
        for (size_t i = 0; i < set->count; i++) {
            const struct request *request = &set->requests[i];
            struct verdict verdict;
            uint64_t start, took;

            for (size_t k = 0; k < request->url.size; k += 32)
                sum += (uint8_t)request->url.at[k];
            for (size_t k = 0; k < request->source.size; k += 32)
                sum += (uint8_t)request->source.at[k];
            __asm__ volatile("" : : "r"(sum)); // so that they are read
            start = now_ns();
            matcher_ask(matcher, request, &verdict);
            took = now_ns() - start;
            took -= took > clock ? clock : took;
            if (took < best[i])
                best[i] = (uint32_t)took;
        }
    qsort(best, set->count, sizeof *best, compare_numbers);
    double mean = 0;
    for (size_t i = 0; i < set->count; i++)
        mean += best[i];
    printf("  strings hot, one by one     mean %4.0f  p50 %4u  p90 %4u  p99 %5u  p99.9 %5u ns\n",
           mean / (double)set->count, best[set->count / 2], best[set->count * 9 / 10],
           best[set->count * 99 / 100], best[set->count * 999 / 1000]);
    free(best);
}

static void time_long(struct matcher *matcher)
{
    static const struct {
        const char *name, *piece;
    } urls[] = {
        { "one long run", "a" },
        { "a query of many parameters", "&utm_source=a1b2&ads=3" },
        { "every byte pair a start", "/a" },
        { "words of the lists", "/ads/banner/track/pixel.gif?ad_" },
        { "labels and dots", ".google.com/ads" },
    };
    char *text = malloc(65536);

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct request request = { .type = TYPE_SCRIPT, .source = SPAN("https://news.example/") };
        size_t size = (size_t)snprintf(text, 65536, "https://www.host.example/x?");
        uint64_t best = UINT64_MAX;
        struct verdict verdict;

        while (size < 65536) {
            size_t more = strlen(urls[i].piece);
            if (more > 65536 - size)
                more = 65536 - size;
            memcpy(text + size, urls[i].piece, more);
            size += more;
        }
        request.url = span_of(text, size);
        for (int k = 0; k < 50; k++) {
            uint64_t start = now_ns();
            matcher_ask(matcher, &request, &verdict);
            start = now_ns() - start;
            best = start < best ? start : best;
        }
        printf("  64 kB URL, %-27s %7.1f us%s\n", urls[i].name, (double)best / 1000,
               verdict.action >= VERDICT_BLOCK ? " (blocked)" : "");
    }
    free(text);
}

static long resident_kb(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[200];
    long kb = 0, part;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Clean: %ld", &part) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &part) == 1)
            kb += part;
    if (file)
        fclose(file);
    return kb;
}

/* What one worker more costs when another has done the same: in a child, which shares all with its
 * parent that it does not write. Expressions that the pass needs are compiled, too. */
static void weigh_worker(struct database *database, const struct set *set)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        long before = resident_kb();
        struct matcher *matcher = matcher_new(database);

        pass(matcher, set, NULL);
        printf("  one worker more, after one pass: +%ld kB\n", resident_kb() - before);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* In a child: compiles, writes the image to `fd`, tells how long and how much it took. */
static void time_compile(const struct config *config, int fd)
{
    pid_t child = fork();
    struct rusage usage;

    if (child == 0) {
        struct span image = SPAN_NONE;
        uint64_t best = UINT64_MAX;

        for (int i = 0; i < 3; i++) {
            uint64_t start = now_ns();
            struct rulebook *rulebook = load(config, &image);
            start = now_ns() - start;
            best = start < best ? start : best;
            if (i == 0) {
                getrusage(RUSAGE_SELF, &usage);
                printf("  compiled from files: %ld MB at most, ", usage.ru_maxrss / 1024);
                if (write(fd, image.at, image.size) != (ssize_t)image.size)
                    _exit(1);
            }
            rulebook_free(&rulebook);
        }
        printf("best of 3 %.0f ms\n", (double)best / 1e6);
        fflush(stdout);
        _exit(0);
    }
    fflush(stdout);
    waitpid(child, NULL, 0);
}

static void shuffle(uint32_t *order, size_t count)
{
    uint64_t state = 88172645463325252u;

    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t i = count - 1; i > 0; i--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size_t k = state % (i + 1);
        uint32_t other = order[i];
        order[i] = order[k];
        order[k] = other;
    }
}

static void run(const struct config *config, const struct set *set)
{
    char path[] = "/tmp/bench_match.XXXXXX";
    int fd = mkstemp(path), counter = open_counter();
    struct database *database;
    struct matcher *matcher;
    struct error error;
    uint64_t best_map = UINT64_MAX, best = UINT64_MAX, best_cold = UINT64_MAX, start, counted;
    uint32_t *order = malloc(set->count * sizeof *order);
    unsigned blocked = 0;

    unlink(path);
    printf("config %s\n", config->name);
    fflush(stdout);
    time_compile(config, fd);
    for (int i = 0; i < 10; i++) {
        start = now_ns();
        if (database_map(&database, fd, &error) != ERROR_NONE) {
            fprintf(stderr, "%s\n", error.text);
            exit(1);
        }
        start = now_ns() - start;
        best_map = start < best_map ? start : best_map;
        if (i < 9)
            database_unref(&database);
    }
    matcher = matcher_new(database);
    blocked = pass(matcher, set, NULL);
    printf("  image %.2f MB, %zu rules, mapped and checked in %.2f ms\n",
           (double)database_size(database) / 1e6, database_rules(database), (double)best_map / 1e6);
    weigh_worker(database, set);
    shuffle(order, set->count);
    for (int i = 0; i < PASSES; i++) {
        start = now_ns();
        pass(matcher, set, NULL);
        start = now_ns() - start;
        best = start < best ? start : best;
        start = now_ns();
        pass(matcher, set, order);
        start = now_ns() - start;
        best_cold = start < best_cold ? start : best_cold;
    }
    counted = read_counter(counter);
    counted_pass(matcher, set);
    counted = read_counter(counter) - counted;
    printf("  file order, best of %d       mean %4.0f ns (%u of %zu blocked)\n", PASSES,
           (double)best / (double)set->count, blocked, set->count);
    printf("  shuffled and cold           mean %4.0f ns\n", (double)best_cold / (double)set->count);
    if (counted)
        printf("  instructions                mean %4.0f\n", (double)counted / (double)set->count);
    time_each(matcher, set);
    time_long(matcher);
    matcher_free(&matcher);
    database_unref(&database);
    free(order);
    close(fd);
    if (counter >= 0)
        close(counter);
}

int main(int argc, char **argv)
{
    struct set set = read_requests();

    if (set.count == 0) {
        printf("skipped: no requests in $DEJUNK_SHARED/engine\n");
        return 0;
    }
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        if (argc == 3 && strcmp(argv[2], configs[i].name) == 0) {
            struct span image;
            struct rulebook *rulebook = load(&configs[i], &image);
            struct database *database;
            struct matcher *matcher;

            if (database_open(&database, image, NULL) != ERROR_NONE)
                return 1;
            matcher = matcher_new(database);
            pass(matcher, &set, NULL);
            printf("%u blocked of %zu\n", counted_pass(matcher, &set), set.count);
            matcher_free(&matcher);
            database_unref(&database);
            rulebook_free(&rulebook);
        } else if (argc == 1) {
            run(&configs[i], &set);
        }
    }
    return 0;
}

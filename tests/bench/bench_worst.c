/*
 * bench_worst.c - no line of a list and no URL makes matching grow faster than linearly, and hosts
 * that were chosen to collide do no harm.
 *
 * Each row is made at four sizes, each twice the last; what a verdict (or the compiler, for a line)
 * costs is counted in instructions where the machine lets us, else in processor time, the best of
 * several. Twice the size may cost 2.5 times as much, above a floor that hides what is constant.
 * The exit code is 1 when a row fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "bench.h"
#include "filter/compile.h"
#include "filter/image.h"
#include "filter/match.h"

enum { SIZES = 4, TRIES = 7, GROWTH_PERCENT = 250 };

static int counter = -1;

/* Instructions, or nanoseconds of this thread's. */
static uint64_t cost_now(void)
{
    uint64_t instructions = read_counter(counter);
    struct timespec now;

    if (instructions)
        return instructions;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct rules {
    struct compiler *compiler;
    struct database *database;
    struct matcher *matcher;
};

static void take(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(((struct rules *)owner)->compiler, rule, line);
}

static void rules_open(struct rules *rules, struct span text)
{
    struct list_reader reader = { .is_trusted = true, .on_rule = take, .owner = rules };
    struct compile_counts counts;
    struct list_summary summary;
    struct span image;

    rules->compiler = compiler_new();
    compiler_begin_list(rules->compiler, SPAN("worst"));
    if (!list_read(&summary, &reader, text) ||
        compiler_finish(rules->compiler, &image, &counts, NULL) != ERROR_NONE ||
        database_open(&rules->database, image, NULL) != ERROR_NONE)
        exit(1);
    rules->matcher = matcher_new(rules->database);
}

static void rules_close(struct rules *rules)
{
    matcher_free(&rules->matcher);
    database_unref(&rules->database);
    compiler_free(&rules->compiler);
}

static void put(struct buffer *out, const char *text)
{
    if (!buffer_append(out, span_text(text)))
        abort();
}

static void repeat(struct buffer *out, const char *piece, size_t bytes)
{
    size_t end = out->size + bytes;

    while (out->size < end)
        put(out, piece);
    out->size = end;
}

// ---- rows ----

/* Rules for one long URL; the URL is "http://www.host.example/" and pieces. */
static const struct {
    const char *name, *rules, *piece, *last;
} urls[] = {
    { "one run", "/ads/", "a", "" },
    { "every second byte a start", "/a/a/a/a/b", "/a", "" },
    { "a window at each start", "/ads/x\n/ads/y\n/adsz^\n/ads*q", "/ads", "" },
    { "a wildcard that almost fits", "/ads/*/ads/*/ads/*/q", "/ads/", "" },
    { "many wildcards", "/a*b*c*d*e*f*g*h*i*j*k*l*q", "/abcdefghijkl", "" },
    { "separators", "^^^^^^^^q", "/?&=", "" },
    { "a separator before the end", "/ads^^^^^|", "/ads////", "x" },
    { "a long literal that almost fits",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab*x", "a", "" },
    { "its end almost fits", "*x*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab|", "a", "" },
    { "a general pattern at each window", "/ads?*^q\n/ads?*^r\n/ads?*^s", "/ads?", "" },
    { "a regular expression", "/ads.*x.*y.*z/", "/adsxy", "" },
    { "one that goes back and forth", "/(a+)+$b/", "a", "" },
    { "one that begins at each byte", "/(\\w+\\d)+!/", "abc1", "" },
    { "match-case", "/Ads*Q$match-case", "/Ads", "" },
    { "removeparam", "$removeparam=utm\n$removeparam=/^x/", "&utm=1", "" },
    { "hosts of many labels", "||x.example^\n||a.*^$script", ".a", "" },
};

/* Lines for a fixed request; each is a head, pieces and a tail. */
static const struct {
    const char *name, *head, *piece, *tail;
} lines[] = {
    { "a long pattern", "/", "a", "" },
    { "wildcards", "/x", "*a", "" },
    { "separators", "/x", "^", "" },
    { "runs", "", "/ads", "" },
    { "domains", "/x$domain=a.example", "|~b.example", "" },
    { "domains of many kinds", "/x$domain=a.example", "|b.*|~c.b", "" },
    { "denyallow", "/x$denyallow=b.example", "|b.example", "" },
    { "a regular expression's pieces", "/x", "ab.*", "/" },
    { "groups", "/x", "(a|b)", "/" },
    { "classes", "/x", "[a-c]", "/" },
    { "brackets that are never closed", "/x", "[", "/$script" },
    { "dollars", "/x", "$", "" },
    { "dollars with options behind", "/x", "$script,", "" },
    { "commas", "/x$script", ",script", "" },
    { "slashes in a list", "/x$domain=/", "a/|/", "/" },
    { "separators of cosmetic lines", "", "a,##", "x" },
    { "names before a selector", "a.example", ",b.example", "##.ad" },
    { "blanks", "0.0.0.0", " a.example", "" },
    { "a header's value", "/x$header=a:", "b*", "" },
};

/* Are the costs within the allowed growth? */
static bool show(const char *what, const char *name, const size_t *sizes, const uint64_t *costs,
                 uint64_t floor)
{
    bool is_good = true;

    for (int i = 1; i < SIZES; i++)
        if (costs[i] > floor && costs[i] * 100 > (costs[i - 1] + floor / 4) * GROWTH_PERCENT)
            is_good = false;
    printf("  %-6s %-36s", what, name);
    for (int i = 0; i < SIZES; i++)
        printf(" %6zu: %9llu", sizes[i], (unsigned long long)costs[i]);
    printf("%s\n", is_good ? "" : "  TOO MUCH");
    return is_good;
}

static uint64_t cost_of_asking(struct matcher *matcher, const struct request *request)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        struct directive directives[8];
        struct verdict verdict;
        uint64_t start = cost_now(), took;

        matcher_ask(matcher, request, &verdict);
        matcher_directives(matcher, request, DIRECTIVES_ALL, directives, 8);
        took = cost_now() - start;
        best = took < best ? took : best;
    }
    return best;
}

static bool long_urls(void)
{
    static const size_t sizes[SIZES] = { 8000, 16000, 32000, 64000 };
    bool is_good = true;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        uint64_t costs[SIZES];
        struct rules rules;

        rules_open(&rules, span_text(urls[i].rules));
        for (int k = 0; k < SIZES; k++) {
            struct buffer url = { .limit_bytes = 1 << 20 };
            struct request request = { .source = SPAN("http://news.example/"),
                                       .type = TYPE_SCRIPT };

            put(&url, "http://www.host.example/?x");
            repeat(&url, urls[i].piece, sizes[k] - url.size - strlen(urls[i].last));
            put(&url, urls[i].last);
            request.url = buffer_span(&url);
            costs[k] = cost_of_asking(rules.matcher, &request);
            buffer_release(&url);
        }
        is_good = show("URL", urls[i].name, sizes, costs, 20000) && is_good;
        rules_close(&rules);
    }
    return is_good;
}

/* Reading and compiling a line, and asking what was made of it. */
static bool long_lines(void)
{
    static const size_t sizes[SIZES] = { 1900, 3800, 7600, 15200 };
    struct request request = { .url =
                                   SPAN("http://www.host.example/xads/ads/ads?abababababababab#x"),
                               .source = SPAN("http://b.example/"),
                               .type = TYPE_SCRIPT };
    bool is_good = true;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        uint64_t costs[SIZES], asked[SIZES];

        for (int k = 0; k < SIZES; k++) {
            struct buffer line = { .limit_bytes = 1 << 20 };
            uint64_t constant = UINT64_MAX;

            put(&line, lines[i].head);
            repeat(&line, lines[i].piece, sizes[k] - line.size - strlen(lines[i].tail));
            put(&line, lines[i].tail);
            costs[k] = UINT64_MAX;
            for (int try = 0; try < TRIES; try++) {
                struct rules rules;
                uint64_t start = cost_now(), took;

                rules_open(&rules, buffer_span(&line));
                took = cost_now() - start;
                costs[k] = took < costs[k] ? took : costs[k];
                if (try == TRIES - 1)
                    asked[k] = cost_of_asking(rules.matcher, &request);
                rules_close(&rules);
                start = cost_now();
                rules_open(&rules, SPAN("")); // what any list costs
                took = cost_now() - start;
                constant = took < constant ? took : constant;
                rules_close(&rules);
            }
            costs[k] -= costs[k] > constant ? constant : costs[k];
            buffer_release(&line);
        }
        is_good = show("line", lines[i].name, sizes, costs, 400000) && is_good;
        is_good = show("asked", lines[i].name, sizes, asked, 40000) && is_good;
    }
    return is_good;
}

/* Hosts whose fingerprint and bucket are those of names in the database: each has to be told apart
 * by its text. An attacker knows the lists; here even the seed. */
static bool colliding_hosts(void)
{
    enum { NAMES = 4000, HOSTS = 32 };
    struct buffer text = { .limit_bytes = 1 << 20 };
    const struct image_view *view;
    uint64_t usual = 0, chosen = 0;
    unsigned found = 0;
    struct rules rules;

    for (int i = 0; i < NAMES; i++)
        buffer_printf(&text, "||n%d.example^$script,domain=a.example\n", i);
    rules_open(&rules, buffer_span(&text));
    view = database_image(rules.database);
    for (unsigned number = 0; number < 5000000 && found < HOSTS; number++) {
        struct request request = { .type = TYPE_SCRIPT };
        uint64_t hash = view->header->seed, bytes;
        const struct image_bucket *bucket;
        bool collides = false;
        char name[16], url[64];

        // "x%07u.example", as hosts.h hashes it
        memcpy(&bytes, "\0example", 8);
        hash = image_hash_step(hash, bytes >> 8);
        snprintf(name, sizeof name, "%08u", number);
        memcpy(&bytes, name, 8);
        hash = image_hash_step(hash, bytes);
        bucket = &view->buckets[image_bucket_of(hash, view->header->bucket_count)];
        for (int i = 0; i < 31; i++)
            collides = collides || bucket->prints[i] == image_print(hash);
        if (!collides && number >= HOSTS)
            continue;
        snprintf(url, sizeof url, "http://%s.example/", name);
        request.url = span_text(url);
        *(collides ? &chosen : &usual) += cost_of_asking(rules.matcher, &request);
        found += collides;
    }
    usual /= HOSTS;
    chosen /= found ? found : 1;
    printf("  hosts that collide: %u found, %llu each; others %llu\n", found,
           (unsigned long long)chosen, (unsigned long long)usual);
    rules_close(&rules);
    buffer_release(&text);
    return found > 0 && chosen < 4 * usual;
}

int main(void)
{
    bool is_good;

    counter = open_counter();
    printf("costs in %s\n", counter >= 0 ? "instructions" : "nanoseconds of the processor");
    is_good = long_urls();
    is_good = long_lines() && is_good;
    is_good = colliding_hosts() && is_good;
    if (counter >= 0)
        close(counter);
    return is_good ? 0 : 1;
}

#include "filter/database.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "filter/image.h"
#include "filter/regex.h"
#include "filter/rule.h"

struct database {
    unsigned references;
    struct image_view view;
    size_t size;
    void *mapping; // NULL: the image is borrowed
};

/* ---- is every offset good? ---- */

static bool is_range(uint32_t at, uint32_t size, uint32_t limit)
{
    return at <= limit && size <= limit - at;
}

/* The section's place, if it is inside the file and a whole number of items. */
static bool take_section(struct image_view *view, enum image_section section, size_t item_size,
                         const void **at, uint32_t *count)
{
    const struct image_range *range = &view->header->sections[section];

    if (range->at % IMAGE_ALIGN || range->at > view->header->size ||
        range->size > view->header->size - range->at || range->size % item_size)
        return false;
    *at = (const char *)view->header + range->at;
    *count = (uint32_t)(range->size / item_size);
    return true;
}

static bool take_sections(struct image_view *view)
{
    uint32_t buckets, slots, list_words, suffix_bytes;
    uint64_t suffix_table;
    const void *suffixes;

    if (!take_section(view, SECTION_BUCKETS, sizeof(struct image_bucket),
                      (const void **)&view->buckets, &buckets) ||
        !take_section(view, SECTION_SLOTS, 4, (const void **)&view->slots, &slots) ||
        !take_section(view, SECTION_HOSTS, 1, (const void **)&view->hosts, &view->hosts_size) ||
        !take_section(view, SECTION_NAMES, 4, (const void **)&view->names, &view->name_words) ||
        !take_section(view, SECTION_RULES, sizeof(struct image_rule), (const void **)&view->rules,
                      &view->rule_count) ||
        !take_section(view, SECTION_EXTRAS, 4, (const void **)&view->extras, &view->extra_words) ||
        !take_section(view, SECTION_WINDOWS, 1, (const void **)&view->windows,
                      &view->windows_size) ||
        !take_section(view, SECTION_ORIGINS, sizeof(struct image_origin),
                      (const void **)&view->origins, &view->origin_count) ||
        !take_section(view, SECTION_REGEXES, sizeof(struct image_regex),
                      (const void **)&view->regexes, &view->regex_count) ||
        !take_section(view, SECTION_SUFFIXES, 1, &suffixes, &suffix_bytes) ||
        !take_section(view, SECTION_LISTS, 4, (const void **)&view->lists, &list_words) ||
        !take_section(view, SECTION_TEXT, 1, (const void **)&view->text, &view->text_size))
        return false;
    if (buckets == 0 || buckets != view->header->bucket_count ||
        slots != (uint64_t)buckets * IMAGE_BUCKET_SLOTS || list_words % 2)
        return false;
    view->list_count = list_words / 2;
    if (view->header->suffix_bits > 20)
        return false;
    suffix_table = 4ull << view->header->suffix_bits;
    if (suffix_table > suffix_bytes)
        return false;
    view->suffixes = suffixes;
    view->suffix_texts = (const char *)suffixes + suffix_table;
    view->suffix_texts_size = suffix_bytes - (uint32_t)suffix_table;
    return true;
}

static bool is_host_record(const struct image_view *view, uint32_t at, bool with_place)
{
    if (at == 0 || at >= view->hosts_size)
        return false;
    return is_range(at + 1, (uint8_t)view->hosts[at] + (with_place ? 4u : 0u), view->hosts_size);
}

static bool is_place(const struct image_view *view, uint32_t place)
{
    return place >> IMAGE_LINE_BITS < view->list_count;
}

static bool is_plain_record(const struct image_view *view, uint32_t at)
{
    uint32_t place;

    if (!is_host_record(view, at, true))
        return false;
    memcpy(&place, view->hosts + at + 1 + (uint8_t)view->hosts[at], 4);
    return is_place(view, place);
}

static bool is_chain(const struct image_view *view, uint32_t rule)
{
    return rule > 0 && rule < view->rule_count;
}

static bool is_name(const struct image_view *view, uint32_t record)
{
    uint32_t marks, chains;

    if (record == 0 || !is_range(record, 2, view->name_words))
        return false;
    marks = view->names[record + 1];
    if (marks & ~IMAGE_NAME_MARKS)
        return false;
    chains = (uint32_t)__builtin_popcount(marks & ~IMAGE_NAME_PLAIN);
    if (!is_range(record + 2, chains, view->name_words))
        return false;
    for (uint32_t i = 0; i < chains; i++)
        if (!is_chain(view, view->names[record + 2 + i]))
            return false;
    return marks & IMAGE_NAME_PLAIN ? is_plain_record(view, view->names[record])
                                    : is_host_record(view, view->names[record], false);
}

static bool check_names(const struct image_view *view)
{
    for (size_t i = 0; i < view->header->bucket_count; i++)
        for (size_t k = 0; k < IMAGE_BUCKET_SLOTS; k++) {
            uint32_t slot = view->slots[i * IMAGE_BUCKET_SLOTS + k];
            if (view->buckets[i].prints[k] == 0)
                continue;
            if (slot & IMAGE_SLOT_NAME ? !is_name(view, slot & ~IMAGE_SLOT_NAME)
                                       : !is_plain_record(view, slot))
                return false;
        }
    return true;
}

/* Words of a set from `at`, its first included; 0: it is not good. */
static uint32_t set_words(const struct image_view *view, uint32_t at)
{
    uint32_t count;

    if (at >= view->extra_words)
        return 0;
    count = view->extras[at] & IMAGE_SET_COUNT;
    if (!is_range(at + 1, count, view->extra_words))
        return 0;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t word = view->extras[at + i];
        if (word & IMAGE_SET_REGEX && (word & IMAGE_SET_NUMBER) >= view->regex_count)
            return 0;
    }
    return count + 1;
}

/* Words of the record at `at`; 0: it is not good. */
static uint32_t extra_words(const struct image_view *view, uint32_t at)
{
    uint32_t parts = view->extras[at], next = at + 1;

    if (parts == 0 || parts & ~(uint32_t)EXTRA_ALL)
        return 0;
    for (uint32_t part = 1; part <= EXTRA_PAGE; part <<= 1) {
        if (!(parts & part))
            continue;
        if (next >= view->extra_words)
            return 0;
        if (part == EXTRA_DOMAINS || part == EXTRA_TO || part == EXTRA_DENYALLOW) {
            uint32_t words = set_words(view, next);
            if (words == 0)
                return 0;
            next += words;
        } else if (part == EXTRA_REGEX || part == EXTRA_METHODS || part == EXTRA_PAGE) {
            if (part == EXTRA_REGEX && view->extras[next] >= view->regex_count)
                return 0;
            next++;
        } else {
            if (!is_range(next, 2, view->extra_words) ||
                !is_range(view->extras[next], view->extras[next + 1], view->text_size) ||
                view->extras[next + 1] > UINT16_MAX)
                return 0;
            next += 2;
        }
    }
    return next - at;
}

static bool is_rule(const struct image_view *view, const struct image_rule *rule,
                    const uint8_t *extra_starts)
{
    uint32_t parts = 0;

    if (rule->size > sizeof rule->literal || rule->number == 0 ||
        rule->number >= view->origin_count || IMAGE_MODIFIER(rule->flags) > MODIFIER_PAGE)
        return false;
    if (rule->extra) {
        if (rule->extra >= view->extra_words || !(extra_starts[rule->extra / 8] >> rule->extra % 8 & 1))
            return false;
        parts = view->extras[rule->extra];
    }
    if (rule->flags & RULE_REGEX)
        return parts & EXTRA_REGEX;
    if (rule->flags & (RULE_GENERAL | RULE_LONG | RULE_MATCH_CASE) && !(parts & EXTRA_PATTERN))
        return false;
    if (rule->flags & RULE_LONG && view->extras[rule->extra + 2] < sizeof rule->literal)
        return false;
    return !(rule->flags & RULE_CONDITIONS) || rule->extra;
}

static bool check_rules(const struct image_view *view)
{
    uint8_t *starts = calloc(view->extra_words / 8 + 1, 1); // of records in EXTRAS
    bool is_good = view->rule_count > 0 && view->extra_words > 0;

    if (!starts)
        abort();
    for (uint32_t at = 1; at < view->extra_words && is_good;) {
        uint32_t words = extra_words(view, at);
        is_good = words > 0;
        starts[at / 8] |= (uint8_t)(1u << at % 8);
        at += words;
    }
    for (uint32_t i = 1; i < view->rule_count && is_good; i++)
        is_good = is_rule(view, &view->rules[i], starts);
    free(starts);
    return is_good && view->rules[view->rule_count - 1].flags & RULE_LAST;
}

static bool check_books(const struct image_view *view)
{
    for (unsigned i = 0; i < BOOKS; i++) {
        const struct image_book *book = &view->header->books[i];
        const struct image_window *table;

        if (book->table_bits > 27 || book->filter_at % 8 || book->table_at % 8 ||
            !is_range(book->filter_at, 8u << IMAGE_FILTER_BITS, view->windows_size) ||
            !is_range(book->table_at, 8u << book->table_bits, view->windows_size) ||
            (book->loose && !is_chain(view, book->loose)))
            return false;
        table = (const void *)(view->windows + book->table_at);
        for (size_t k = 0; k < (size_t)1 << book->table_bits; k++)
            if (table[k].rule >= view->rule_count)
                return false;
    }
    return true;
}

static bool check_rest(const struct image_view *view)
{
    for (uint32_t i = 1; i < view->origin_count; i++)
        if (!is_range(view->origins[i].text, view->origins[i].size, view->text_size) ||
            !is_place(view, view->origins[i].place))
            return false;
    for (uint32_t i = 0; i < view->regex_count; i++)
        if (!is_range(view->regexes[i].text, view->regexes[i].size, view->text_size))
            return false;
    for (uint32_t i = 0; i < view->list_count; i++)
        if (!is_range(view->lists[2 * i], view->lists[2 * i + 1], view->text_size))
            return false;
    for (size_t i = 0; i < (size_t)1 << view->header->suffix_bits; i++) {
        uint32_t at = view->suffixes[i] & IMAGE_SUFFIX_OFFSET;
        if (view->suffixes[i] &&
            (!is_range(at, 2, view->suffix_texts_size) ||
             !is_range(at + 2, (uint8_t)view->suffix_texts[at], view->suffix_texts_size)))
            return false;
    }
    return true;
}

static enum error_kind check(struct image_view *view, size_t size, struct error *error)
{
    const struct image_header *header = view->header;

    if (size < sizeof *header || memcmp(header->magic, IMAGE_MAGIC, sizeof header->magic) != 0)
        return error_set(error, ERROR_CORRUPT, "not a rule database");
    if (header->version != IMAGE_VERSION || header->order != IMAGE_ORDER)
        return error_set(error, ERROR_CORRUPT, "a rule database of another version (%u)",
                         header->version);
    if (header->size != size)
        return error_set(error, ERROR_CORRUPT, "rule database has %zu bytes, not %llu", size,
                         (unsigned long long)header->size);
    if (header->checksum != XXH3_64bits(&header->seed, size - offsetof(struct image_header, seed)))
        return error_set(error, ERROR_CORRUPT, "checksum of the rule database is wrong");
    if (!take_sections(view) || !check_names(view) || !check_rules(view) || !check_books(view) ||
        !check_rest(view))
        return error_set(error, ERROR_CORRUPT, "the rule database is damaged");
    return ERROR_NONE;
}

/* ---- life ---- */

enum error_kind database_open(struct database **out, struct span image, struct error *error)
{
    struct database *database;
    enum error_kind kind;

    if (image.size > IMAGE_LIMIT)
        return error_set(error, ERROR_LIMIT, "rule database of %zu bytes", image.size);
    assert((uintptr_t)image.at % IMAGE_ALIGN == 0);
    database = calloc(1, sizeof *database);
    if (!database)
        abort();
    database->references = 1;
    database->size = image.size;
    database->view.header = (const void *)image.at;
    kind = check(&database->view, image.size, error);
    if (kind != ERROR_NONE) {
        free(database);
        return kind;
    }
    *out = database;
    return ERROR_NONE;
}

enum error_kind database_map(struct database **out, int fd, struct error *error)
{
    struct stat status;
    enum error_kind kind;
    void *mapping;
    size_t size;

    if (fstat(fd, &status) < 0)
        return error_errno(error, ERROR_SYSTEM, "rule database");
    if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        return error_set(error, ERROR_CORRUPT, "rule database is empty or no file");
    if ((uint64_t)status.st_size > IMAGE_LIMIT)
        return error_set(error, ERROR_LIMIT, "rule database of %lld bytes",
                         (long long)status.st_size);
    size = (size_t)status.st_size;
    mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED)
        return error_errno(error, ERROR_SYSTEM, "cannot map the rule database");
    kind = database_open(out, span_of(mapping, size), error);
    if (kind != ERROR_NONE)
        munmap(mapping, size);
    else
        (*out)->mapping = mapping;
    return kind;
}

struct database *database_ref(struct database *database)
{
    database->references++;
    return database;
}

void database_unref(struct database **database)
{
    struct database *it = *database;

    *database = NULL;
    if (!it || --it->references > 0)
        return;
    if (it->mapping)
        munmap(it->mapping, it->size);
    free(it);
}

/* ---- what it says ---- */

const struct image_view *database_image(const struct database *database)
{
    return &database->view;
}

size_t database_size(const struct database *database)
{
    return database->size;
}

size_t database_rules(const struct database *database)
{
    return database->view.header->rule_total;
}

size_t database_lists(const struct database *database)
{
    return database->view.list_count;
}

uint64_t database_generation(const struct database *database)
{
    return database->view.header->generation;
}

bool database_rule(const struct database *database, rule_number rule, struct rule_view *out)
{
    const struct image_view *view = &database->view;
    uint32_t place, list;

    if (rule & IMAGE_NUMBER_HOST) {
        uint32_t at = rule & ~IMAGE_NUMBER_HOST;
        uint8_t size;

        if (!is_plain_record(view, at))
            return false;
        size = (uint8_t)view->hosts[at];
        memcpy(out->room, "||", 2);
        memcpy(out->room + 2, view->hosts + at + 1, size);
        out->room[2 + size] = '^';
        out->text = span_of(out->room, size + 3u);
        memcpy(&place, view->hosts + at + 1 + size, 4);
    } else {
        if (rule == 0 || rule >= view->origin_count)
            return false;
        out->text = span_of(view->text + view->origins[rule].text, view->origins[rule].size);
        place = view->origins[rule].place;
    }
    list = place >> IMAGE_LINE_BITS;
    out->line = place & ((1u << IMAGE_LINE_BITS) - 1);
    out->list = span_of(view->text + view->lists[2 * list], view->lists[2 * list + 1]);
    return true;
}

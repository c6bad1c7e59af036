#include "filter/database.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "filter/cosmetic.h"
#include "filter/image.h"
#include "filter/lines.h"
#include "filter/pieces.h"
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
    const struct image_header *header = view->header;
    uint32_t buckets, slots, numbers, suffix_words;
    const void *at[SECTIONS];
    uint32_t count[SECTIONS];
    static const uint8_t item_sizes[SECTIONS] = {
        [SECTION_BUCKETS] = sizeof(struct image_bucket),
        [SECTION_SLOTS] = 1,
        [SECTION_HOSTS] = 1,
        [SECTION_NAMES] = 4,
        [SECTION_RULES] = sizeof(struct image_rule),
        [SECTION_NUMBERS] = 4,
        [SECTION_EXTRAS] = 4,
        [SECTION_SETS] = 4,
        [SECTION_WINDOWS] = 1,
        [SECTION_REGEXES] = sizeof(struct image_regex),
        [SECTION_SUFFIXES] = 4,
        [SECTION_TEXTS] = 1,
        [SECTION_LINES] = 1,
        [SECTION_HOST_PLACES] = sizeof(struct image_run),
        [SECTION_LINE_PLACES] = sizeof(struct image_run),
        [SECTION_LISTS] = 4,
        [SECTION_COSMETIC] = 4,
    };

    for (unsigned i = 0; i < SECTIONS; i++)
        if (!take_section(view, (enum image_section)i, item_sizes[i], &at[i], &count[i]))
            return false;
    view->buckets = at[SECTION_BUCKETS], buckets = count[SECTION_BUCKETS];
    if (header->slot_bytes != 3 && header->slot_bytes != 4)
        return false;
    view->slot_bytes = header->slot_bytes, slots = count[SECTION_SLOTS];
    view->slots = (const char *)at[SECTION_SLOTS] - (sizeof(uint32_t) - view->slot_bytes);
    view->slot_shift = view->slot_bytes == 3 ? 8 : 0;
    view->hosts = at[SECTION_HOSTS], view->hosts_size = count[SECTION_HOSTS];
    view->names = at[SECTION_NAMES], view->name_words = count[SECTION_NAMES];
    view->rules = at[SECTION_RULES], view->rule_count = count[SECTION_RULES];
    view->numbers = at[SECTION_NUMBERS], numbers = count[SECTION_NUMBERS];
    view->extras = at[SECTION_EXTRAS], view->extra_words = count[SECTION_EXTRAS];
    view->sets = at[SECTION_SETS], view->set_words = count[SECTION_SETS];
    view->windows = at[SECTION_WINDOWS], view->windows_size = count[SECTION_WINDOWS];
    view->regexes = at[SECTION_REGEXES], view->regex_count = count[SECTION_REGEXES];
    view->suffixes = at[SECTION_SUFFIXES], suffix_words = count[SECTION_SUFFIXES];
    view->texts = at[SECTION_TEXTS], view->texts_size = count[SECTION_TEXTS];
    view->lines = at[SECTION_LINES], view->lines_size = count[SECTION_LINES];
    view->host_runs = at[SECTION_HOST_PLACES], view->host_run_count = count[SECTION_HOST_PLACES];
    view->line_runs = at[SECTION_LINE_PLACES], view->line_run_count = count[SECTION_LINE_PLACES];
    view->lists = at[SECTION_LISTS], view->list_count = count[SECTION_LISTS];
    view->cosmetics = at[SECTION_COSMETIC], view->cosmetic_words = count[SECTION_COSMETIC];
    if (buckets == 0 || buckets != header->bucket_count ||
        slots != (uint64_t)buckets * IMAGE_BUCKET_SLOTS * view->slot_bytes ||
        numbers != view->rule_count || header->suffix_bits > 20 ||
        (1u << header->suffix_bits) > suffix_words)
        return false;
    view->suffix_texts = (const uint8_t *)(view->suffixes + (1u << header->suffix_bits));
    view->suffix_texts_size = (suffix_words - (1u << header->suffix_bits)) * 4;
    return header->once_count < IMAGE_LIMIT / 4;
}

static bool is_text(const struct image_view *view, uint32_t at)
{
    return is_range(at, 2, view->texts_size) &&
           is_range(at + 2, (uint32_t)image_text(view, at).size, view->texts_size);
}

static bool is_host(const struct image_view *view, uint32_t at)
{
    return at > 0 && at < view->hosts_size && is_range(at + 1, view->hosts[at], view->hosts_size);
}

static bool is_chain(const struct image_view *view, uint32_t chain)
{
    return chain & IMAGE_CHAIN && (chain & IMAGE_CHAIN) < view->rule_count &&
           !(chain & ~IMAGE_CHAIN_ANY);
}

static bool is_record(const struct image_view *view, uint32_t record)
{
    uint32_t marks, chains;

    if (record == 0 || !is_range(record, 2, view->name_words))
        return false;
    marks = view->names[record + 1];
    if (!is_host(view, view->names[record] & ~IMAGE_NAME_PLAIN))
        return false;
    if (marks & IMAGE_NAME_SIMPLE)
        return !(marks & IMAGE_NAME_CHAINS) && is_range(record + 2, 1, view->name_words);
    chains = (uint32_t)__builtin_popcount(marks);
    if (marks & ~IMAGE_NAME_CHAINS || !is_range(record + 2, chains, view->name_words))
        return false;
    for (uint32_t i = 0; i < chains; i++)
        if (!is_chain(view, view->names[record + 2 + i]))
            return false;
    return true;
}

static bool check_names(const struct image_view *view)
{
    for (size_t i = 0; i < view->header->bucket_count; i++)
        for (size_t k = 0; k < IMAGE_BUCKET_SLOTS; k++) {
            uint32_t slot = image_slot(view, i * IMAGE_BUCKET_SLOTS + k);
            uint32_t number = image_slot_number(view, slot);
            if (view->buckets[i].prints[k] == 0)
                continue;
            if (slot & IMAGE_SLOT_RECORD ? !is_record(view, number) : !is_host(view, number))
                return false;
        }
    return true;
}

/* The starts of records, found by reading from 1 to the end; one bit for each word. NULL: some
 * record is not good. */
static uint8_t *find_starts(const struct image_view *view, const uint32_t *words, uint32_t count,
                            uint32_t (*size)(const struct image_view *, uint32_t))
{
    uint8_t *starts = calloc(count / 8 + 1, 1);

    if (!starts)
        abort();
    (void)words;
    for (uint32_t at = 1; at < count;) {
        uint32_t found = size(view, at);
        if (found == 0) {
            free(starts);
            return NULL;
        }
        starts[at / 8] |= (uint8_t)(1u << at % 8);
        at += found;
    }
    return starts;
}

static bool is_start(const uint8_t *starts, uint32_t count, uint32_t at)
{
    return at > 0 && at < count && starts[at / 8] >> at % 8 & 1;
}

static uint32_t set_size(const struct image_view *view, uint32_t at)
{
    uint32_t count = view->sets[at] & IMAGE_SET_COUNT;

    if (!is_range(at + 1, count + IMAGE_SET_WORDS - 1, view->set_words))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = view->sets[at + IMAGE_SET_WORDS + i];
        if (word & IMAGE_SET_REGEX && (word & IMAGE_SET_NUMBER) >= view->regex_count)
            return 0;
    }
    return count + IMAGE_SET_WORDS;
}

static uint32_t extra_size(const struct image_view *view, uint32_t at)
{
    uint32_t parts = view->extras[at];
    uint32_t count = (uint32_t)__builtin_popcount(parts);
    const uint32_t texts = EXTRA_PATTERN | EXTRA_CLIENT | EXTRA_ADDRESS | EXTRA_HEADER |
                           EXTRA_REQUEST_HEADER | EXTRA_VALUE;

    if (parts == 0 || parts & ~(uint32_t)EXTRA_ALL || !is_range(at + 1, count, view->extra_words))
        return 0;
    for (uint32_t part = 1; part <= EXTRA_PAGE; part <<= 1)
        if (parts & part & texts && !is_text(view, image_part(view->extras + at, part)))
            return 0;
    if (parts & EXTRA_REGEX && image_part(view->extras + at, EXTRA_REGEX) >= view->regex_count)
        return 0;
    if (parts & EXTRA_ONCE && image_part(view->extras + at, EXTRA_ONCE) > view->header->once_count)
        return 0;
    return count + 1;
}

static bool is_rule(const struct image_view *view, const struct image_rule *rule,
                    const uint8_t *extra_starts, const uint8_t *set_starts)
{
    static const enum image_extra sets[] = { EXTRA_DOMAINS, EXTRA_TO, EXTRA_DENYALLOW };
    const uint32_t *record = view->extras + rule->extra;
    uint32_t parts = 0, flags = rule->flags;

    if (rule->size > sizeof rule->literal || IMAGE_MODIFIER(flags) > MODIFIER_PAGE)
        return false;
    if (rule->extra) {
        if (!is_start(extra_starts, view->extra_words, rule->extra))
            return false;
        parts = record[0];
    }
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (parts & sets[i] && !is_start(set_starts, view->set_words, image_part(record, sets[i])))
            return false;
    if (flags & (RULE_GENERAL | RULE_REGEX) && !(parts & EXTRA_ONCE))
        return false;
    if (flags & RULE_REGEX && !(parts & EXTRA_REGEX))
        return false;
    if (flags & (RULE_GENERAL | RULE_LONG) && !(parts & EXTRA_PATTERN))
        return false;
    return !(flags & RULE_CONDITIONS) || rule->extra;
}

static bool check_rules(const struct image_view *view)
{
    uint8_t *extra_starts = find_starts(view, view->extras, view->extra_words, extra_size);
    uint8_t *set_starts = find_starts(view, view->sets, view->set_words, set_size);
    bool is_good = extra_starts && set_starts && view->rule_count > 0 && view->extra_words > 0;

    for (uint32_t i = 1; i < view->rule_count && is_good; i++)
        is_good = is_rule(view, &view->rules[i], extra_starts, set_starts);
    free(extra_starts);
    free(set_starts);
    return is_good && view->rules[view->rule_count - 1].flags & RULE_LAST;
}

static bool check_books(const struct image_view *view)
{
    for (unsigned i = 0; i < BOOKS; i++) {
        const struct image_book *book = &view->header->books[i];
        const struct image_window *table;
        uint64_t slots = (uint64_t)book->table_slots + IMAGE_WINDOW_WALK + 1;

        if (book->filter_bits < 6 || book->filter_bits > 16 || book->table_at % 8 ||
            book->table_slots == 0 || book->keys_bits < 5 || book->keys_bits > 16 ||
            book->keys_at % 4 || book->longs_bits < 5 || book->longs_bits > 15 ||
            book->longs_at % 4 ||
            !is_range(book->longs_at, (1u << book->longs_bits) / 8, view->windows_size) ||
            !is_range(book->keys_at, (1u << book->keys_bits) / 8, view->windows_size) ||
            !is_range(book->filter_at, 1u << book->filter_bits, view->windows_size) ||
            slots > IMAGE_LIMIT / sizeof *table ||
            !is_range(book->table_at, (uint32_t)(slots * sizeof *table), view->windows_size))
            return false;
        for (size_t k = 0; k < (size_t)1 << book->filter_bits; k++)
            if (view->windows[book->filter_at + k] & ~1)
                return false;
        table = (const void *)(view->windows + book->table_at);
        for (size_t k = 0; k < slots; k++)
            if (table[k].chain & IMAGE_CHAIN_ANY &&
                !is_chain(view, table[k].chain & ~IMAGE_WINDOW_LONGER))
                return false;
        for (unsigned type = 0; type < REQUEST_TYPES; type++)
            if (book->loose[type] && !is_chain(view, book->loose[type]))
                return false;
    }
    return true;
}

static bool check_runs(const struct image_view *view, const struct image_run *runs, uint32_t count,
                       uint32_t limit)
{
    for (uint32_t i = 0; i < count; i++)
        if (runs[i].at > limit || (i > 0 && runs[i].at <= runs[i - 1].at) ||
            (i + 1 < count && runs[i].place >> IMAGE_LINE_BITS >= view->list_count))
            return false;
    return count > 0;
}

static bool check_rest(const struct image_view *view)
{
    if (!check_runs(view, view->host_runs, view->host_run_count, view->hosts_size) ||
        !check_runs(view, view->line_runs, view->line_run_count, view->lines_size))
        return false;
    for (uint32_t i = 0; i < view->regex_count; i++)
        if (!is_text(view, view->regexes[i].text))
            return false;
    for (uint32_t i = 0; i < view->list_count; i++)
        if (!is_text(view, view->lists[i]))
            return false;
    for (size_t i = 0; i < (size_t)1 << view->header->suffix_bits; i++) {
        uint32_t at = view->suffixes[i] & IMAGE_SUFFIX_OFFSET;
        if (view->suffixes[i] &&
            (!is_range(at, 2, view->suffix_texts_size) ||
             !is_range(at + 2, view->suffix_texts[at], view->suffix_texts_size)))
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
        !check_rest(view) || !cosmetic_check(view))
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
    mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0); // sealed memory takes no other
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

unsigned database_version(void)
{
    return IMAGE_VERSION;
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

/* The place of the plain name whose record in HOSTS is at `number`, or UINT32_MAX: its run is
 * found, then the records up to it are counted. */
static uint32_t host_place(const struct image_view *view, uint32_t number)
{
    const struct image_run *run = image_find_run(view->host_runs, view->host_run_count, number);
    uint32_t at = run->at, place = run->place;

    for (unsigned i = 0; i < IMAGE_RUN_LIMIT && at < number && at < view->hosts_size; i++) {
        at += 1u + view->hosts[at];
        place++;
    }
    return at == number && is_host(view, at) && place >> IMAGE_LINE_BITS < view->list_count
               ? place
               : UINT32_MAX;
}

uint32_t database_place(const struct image_view *view, rule_number rule)
{
    char room[1];
    struct line line;

    if (rule & IMAGE_NUMBER_HOST)
        return host_place(view, rule & ~IMAGE_NUMBER_HOST);
    return line_read(view, rule, room, sizeof room, &line) ? line.place : UINT32_MAX;
}

static bool read_host(const struct image_view *view, uint32_t number, struct rule_view *out,
                      uint32_t *place)
{
    size_t size;

    *place = host_place(view, number);
    if (*place == UINT32_MAX)
        return false;
    memcpy(out->room, "||", 2);
    size = pieces_unpack_host(view->hosts + number + 1, view->hosts[number], out->room + 2);
    out->room[2 + size] = '^';
    out->text = span_of(out->room, size + 3);
    out->is_cut = false;
    return true;
}

bool database_rule(const struct database *database, rule_number rule, struct rule_view *out)
{
    const struct image_view *view = database ? &database->view : NULL;
    struct line line;

    if (!view)
        return false;
    if (rule & IMAGE_NUMBER_HOST) {
        if (!read_host(view, rule & ~IMAGE_NUMBER_HOST, out, &line.place))
            return false;
    } else {
        if (!line_read(view, rule, out->room, RULE_TEXT_LIMIT + 1, &line))
            return false;
        out->text = line.text;
        out->is_cut = line.text.size > RULE_TEXT_LIMIT;
        if (out->is_cut)
            out->text.size = RULE_TEXT_LIMIT;
    }
    out->list = image_text(view, view->lists[line.place >> IMAGE_LINE_BITS]);
    out->line = line.place & ((1u << IMAGE_LINE_BITS) - 1);
    return true;
}

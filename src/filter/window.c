#include "filter/window.h"

#include "filter/image.h"

/* How often windows are met in 1000 URLs of pages and what they load: round figures from what
 * URLs are made of. What is not here is rare. */
static const struct {
    const char *text; // the first four bytes of short, the first seven of long windows
    uint16_t weight;
} common[] = {
    { ".com", 900 },
    { "/www", 450 },
    { ".net", 250 },
    { ".js?", 120 },
    { ".jpg", 150 },
    { ".png", 90 },
    { ".gif", 90 },
    { ".css", 90 },
    { ".php", 60 },
    { ".htm", 60 },
    { ".org", 60 },
    { ".co.", 40 },
    { ".de/", 40 },
    { ".asp", 20 },
    { ".jso", 40 },
    { ".min", 60 },
    { ".goo", 110 },
    { ".dou", 60 },
    { ".fac", 40 },
    { ".ads", 25 },
    { ".cdn", 25 },
    { ".clo", 40 },
    { ".ama", 30 },
    { ".wof", 25 },
    { ".svg", 20 },
    { ".ico", 10 },
    { ".mp4", 10 },
    { ".xml", 10 },
    { ".img", 10 },
    { ".sta", 10 },
    { "/ima", 110 },
    { "/img", 90 },
    { "/js/", 130 },
    { "/css", 60 },
    { "/sta", 80 },
    { "/ass", 50 },
    { "/scr", 40 },
    { "/ads", 60 },
    { "/ad/", 25 },
    { "/adx", 10 },
    { "/api", 30 },
    { "/con", 60 },
    { "/wp-", 60 },
    { "/med", 40 },
    { "/lib", 25 },
    { "/com", 45 },
    { "/pag", 40 },
    { "/tra", 30 },
    { "/pix", 35 },
    { "/goo", 15 },
    { "/cdn", 50 },
    { "/s/", 25 },
    { "/201", 60 },
    { "/202", 40 },
    { "/upl", 45 },
    { "/the", 50 },
    { "/plu", 30 },
    { "/inc", 25 },
    { "/fon", 30 },
    { "/ind", 20 },
    { "/new", 25 },
    { "/sit", 30 },
    { "/res", 30 },
    { "/pub", 25 },
    { "/col", 25 },
    { "/jqu", 25 },
    { "/min", 15 },
    { "/ima", 110 },
    { "/log", 20 },
    { "/vid", 20 },
    { "/tag", 20 },
    { "/eve", 15 },
    { "/syn", 20 },
    { "/use", 15 },
    { "/ana", 15 },
    { "/bid", 12 },
    { "/gam", 15 },
    { "/pro", 30 },
    { "/web", 20 },
    { "/dis", 15 },
    { "/ser", 15 },
    { "/sea", 12 },
    { "/pre", 15 },
    { "/par", 12 },
    { "/cli", 12 },
    { "/cor", 12 },
    { "/mod", 15 },
    { "/fil", 12 },
    { "/js?", 10 },
    { "/gif", 8 },
    { "/p/", 15 },
    { "/v1/", 20 },
    { "/v2/", 15 },
    { "/1/", 15 },
    { "/i/", 15 },
    { "/b/", 10 },
    { "/c/", 10 },
    { "/m/", 8 },
    { "/a/", 8 },
    { "/en/", 15 },
    { "%2f%", 20 },
    { "%2fw", 60 },
    { "%3a%", 110 },
    { "%2fa", 15 },
    { "%2fc", 15 },
    { "%2fi", 15 },
    { "%2fs", 15 },
    { "%3d1", 10 },
    { "%26a", 8 },
    { "%22%", 40 },
    { "%2c%", 20 },
    { "%20", 30 },
    { "=htt", 110 },
    { "=1&", 100 },
    { "=0&", 90 },
    { "=tru", 30 },
    { "=fal", 20 },
    { "=201", 15 },
    { "=www", 15 },
    { "=win", 10 },
    { "&id=", 15 },
    { "&url", 20 },
    { "&ref", 25 },
    { "&ad_", 10 },
    { "&cal", 12 },
    { "&uid", 10 },
    { "&typ", 12 },
    { "&siz", 10 },
    { "&cid", 10 },
    { "&pid", 10 },
    { "&sid", 10 },
    { "&tag", 8 },
    { "&v=", 20 },
    { "&t=", 15 },
    { "&s=", 15 },
    { "&pag", 15 },
    { "&use", 10 },
    { "&r=", 15 },
    { "&p=", 12 },
    { "&c=", 12 },
    { "&cb=", 15 },
    { "&tim", 12 },
    { "&lan", 10 },
    { "&ver", 15 },
    { "&res", 10 },
    { "&dom", 8 },
    { "&key", 8 },
    { "&h=", 10 },
    { "&w=", 10 },
    { "&ts=", 8 },
    { "?v=", 40 },
    { "?ver", 30 },
    { "?id=", 15 },
    { "?url", 10 },
    { "?ref", 8 },
    { "?cal", 10 },
    { "?q=", 8 },
    { "?typ", 6 },
    { "?utm", 10 },
    { "&utm", 20 },
    { "-ad-", 4 },
    { "-con", 20 },
    { "-com", 15 },
    { "-pro", 12 },
    { "-300", 10 },
    { "-cdn", 8 },
    { "-ana", 8 },
    { "-ads", 6 },
    { "-1.j", 10 },
    { "-min", 10 },
    { "_ad_", 4 },
    { "_log", 8 },
    { "_ads", 6 },
    { "_id=", 15 },
    { "_con", 8 },
    { ":443", 10 },
    { "/ad.", 10 },
    { "/ad-", 10 },
    { "/ad_", 8 },
    { "/ban", 10 },
    // long
    { "google.", 30 },
    { "googles", 35 },
    { "google-", 25 },
    { "googlet", 20 },
    { "doublec", 60 },
    { "faceboo", 40 },
    { "twitter", 15 },
    { "cloudfr", 30 },
    { "amazona", 20 },
    { "jquery.", 25 },
    { "content", 40 },
    { "images/", 80 },
    { "static/", 30 },
    { "assets/", 40 },
    { "scripts", 20 },
    { "analyti", 20 },
    { "gstatic", 25 },
    { "youtube", 15 },
    { "http%3a", 60 },
    { "https%3", 60 },
    { "uploads", 30 },
    { "plugins", 25 },
    { "themes/", 30 },
    { "wp-cont", 40 },
    { "media/", 20 },
    { "amazon-", 15 },
    { "pagead/", 20 },
    { "collect", 12 },
    { "common/", 10 },
    { "bootstr", 8 },
    { "default", 12 },
    { "product", 12 },
    { "version", 12 },
    { "https:/", 1000 },
    { "http://", 1000 },
    { "www.goo", 20 },
    { "www.fac", 15 },
    { "example", 5 },
};

static bool is_run(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static uint64_t bytes_of(const char *at, size_t size)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < size; i++)
        bytes |= (uint64_t)(uint8_t)at[i] << (8 * i);
    return bytes;
}

static uint32_t *weight_slot(struct window_weights *weights, uint64_t key)
{
    size_t slot = key * IMAGE_HASH_FACTOR >> (64 - WINDOW_WEIGHT_BITS);

    while (weights->keys[slot] && weights->keys[slot] != key)
        slot = (slot + 1) % WINDOW_WEIGHT_SLOTS;
    weights->keys[slot] = key;
    return &weights->weights[slot];
}

static uint32_t weight_at(const struct window_weights *weights, uint64_t key)
{
    size_t slot = key * IMAGE_HASH_FACTOR >> (64 - WINDOW_WEIGHT_BITS);

    while (weights->keys[slot] && weights->keys[slot] != key)
        slot = (slot + 1) % WINDOW_WEIGHT_SLOTS;
    return weights->keys[slot] ? weights->weights[slot] : 0;
}

void window_weights_init(struct window_weights *weights)
{
    memset(weights, 0, sizeof *weights);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        *weight_slot(weights, bytes_of(common[i].text, strlen(common[i].text))) = common[i].weight;
}

/* Of a window's text: four bytes of a short, seven of a long one. */
static uint32_t weight_of(const struct window_weights *weights, const char *text, size_t size)
{
    uint32_t weight = size == 4 ? 3 : 1;
    uint32_t known = weight_at(weights, bytes_of(text, size));

    if (known == 0 && size == 4)
        known = weight_at(weights, bytes_of(text, 3));
    if (size == 4 && text[3] == 0) // the end of the URL
        known = memcmp(text, ".js", 3) == 0 ? 220 : known > 30 ? known : 30;
    if (known > weight)
        weight = known;
    if (size == 4 && text[1] >= '0' && text[1] <= '9') {
        bool is_number = true; // digits are everywhere
        for (size_t i = 1; i < 4; i++)
            is_number = is_number && !(text[i] >= 'a' && text[i] <= 'z');
        if (is_number)
            weight += 15;
    }
    return weight;
}

static bool is_literal(struct span pattern, size_t from, size_t size)
{
    if (from + size > pattern.size)
        return false;
    for (size_t i = from; i < from + size; i++)
        if (pattern.at[i] == '*' || pattern.at[i] == '^')
            return false;
    return true;
}

static const char one_byte[256][2] = {
#define ROW(n)                                                                                     \
    { (char)(n) }, { (char)((n) + 1) }, { (char)((n) + 2) }, { (char)((n) + 3) },                  \
        { (char)((n) + 4) }, { (char)((n) + 5) }, { (char)((n) + 6) },                             \
    {                                                                                              \
        (char)((n) + 7)                                                                            \
    }
    ROW(0),   ROW(8),   ROW(16),  ROW(24),  ROW(32),  ROW(40),  ROW(48),  ROW(56),
    ROW(64),  ROW(72),  ROW(80),  ROW(88),  ROW(96),  ROW(104), ROW(112), ROW(120),
    ROW(128), ROW(136), ROW(144), ROW(152), ROW(160), ROW(168), ROW(176), ROW(184),
    ROW(192), ROW(200), ROW(208), ROW(216), ROW(224), ROW(232), ROW(240), ROW(248),
#undef ROW
};

/* What '^' stands for in front of a run: pattern_is_separator(). */
static const char separators[] = "/?&=:;,+!\"#$'()*<>@[\\]^`{|}~ ";

enum {
    COMMON_PREFIX = 20,     // a short window that no long one should begin with
    SEPARATOR_WEIGHT = 250, // many windows for one rule: only where there is nothing else
};

/* The window at `at` with `size` bytes of the run, behind one of `fronts`. Where the pattern ends
 * the URL, its last byte may be the NUL behind that. */
static struct window_choice choose(const struct window_weights *weights, const char *fronts,
                                   const char *at, size_t size)
{
    struct window_choice choice = { .fronts = fronts,
                                    .is_long = size == 7,
                                    .run_bytes = bytes_of(at, size) };
    uint32_t most = 0, count = 0;
    char text[4];

    memcpy(text + 1, at, 3);
    for (; fronts[count]; count++) {
        uint32_t weight;

        text[0] = fronts[count];
        weight = weight_of(weights, text, 4);
        if (choice.is_long) { // all that the short one lets through has to be looked at
            uint32_t prefix = weight >= COMMON_PREFIX ? weight / 3 : 0;
            weight = weight_of(weights, at, 7) + prefix;
        }
        most = weight > most ? weight : most;
    }
    choice.weight = most * (count < 3 ? count : 3);
    if (count > 2)
        choice.weight += SEPARATOR_WEIGHT;
    return choice;
}

size_t window_list(const struct window_weights *weights, struct window_choice *out,
                   struct span pattern, enum window_front front, bool to_end)
{
    static const char *const fronts[] = {
        [FRONT_UNKNOWN] = "",
        [FRONT_LABEL] = "/.",
        [FRONT_PARAMETER] = "?&",
    };
    bool is_placed = true;
    size_t count = 0;
    char last[8] = { 0 };

    for (size_t i = 0; i < pattern.size && i < 4096 && count + 2 <= WINDOW_CHOICES; i++) {
        const char *before; // what may stand in front of the run

        if (pattern.at[i] == '*')
            is_placed = false;
        if (!is_run(pattern.at[i]))
            continue;
        if (i == 0)
            before = fronts[front];
        else if (pattern.at[i - 1] == '*' || is_run(pattern.at[i - 1]))
            continue;
        else if (pattern.at[i - 1] == '^')
            before = separators;
        else
            before = one_byte[(uint8_t)pattern.at[i - 1]];
        for (size_t size = 3; *before && size <= 7; size += 4) {
            const char *at = pattern.at + i;

            if (to_end && i + size == pattern.size + 1 && is_literal(pattern, i, size - 1)) {
                memcpy(last, at, size - 1);
                last[size - 1] = 0;
                at = last;
            } else if (!is_literal(pattern, i, size)) {
                continue;
            }
            out[count] = choose(weights, before, at, size);
            out[count].is_placed = is_placed;
            out[count++].run = (uint16_t)i;
        }
    }
    return count;
}

/* ---- regular expressions ---- */

/* Where the group or class that opens at `at` ends: the offset of its last byte, or the end. */
static size_t skip_bracket(struct span regex, size_t at)
{
    size_t depth = 0;
    bool in_class = false;

    for (size_t i = at; i < regex.size; i++) {
        char c = regex.at[i];
        if (c == '\\') {
            i++;
        } else if (in_class) {
            in_class = c != ']';
            if (!in_class && depth == 0)
                return i;
        } else if (c == '[') {
            in_class = true;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            return i;
        }
    }
    return regex.size;
}

size_t window_pattern_of_regex(struct span regex, char *to, bool *to_end)
{
    size_t size = 0;
    bool last_is_literal = false; // may a quantifier take the last byte away?

    *to_end = false;
    for (size_t i = 0; i < regex.size; i++) {
        char c = regex.at[i];
        char literal = 0;

        switch (c) {
        case '|':
            return 0; // one or the other: neither is sure
        case '(':
        case '[':
            i = skip_bracket(regex, i);
            break;
        case '\\':
            i++;
            if (i < regex.size && !is_run(ascii_lower(regex.at[i])))
                literal = regex.at[i];
            else if (i < regex.size &&
                     (regex.at[i] == 'x' || regex.at[i] == 'u' || regex.at[i] == 'c' ||
                      regex.at[i] == 'k' || regex.at[i] == 'p' || regex.at[i] == 'P' ||
                      (regex.at[i] >= '0' && regex.at[i] <= '9')))
                return 0; // not worth the trouble
            break;
        case '?':
        case '*':
        case '{':
            if (c == '{')
                while (i + 1 < regex.size && regex.at[i] != '}')
                    i++;
            if (last_is_literal)
                size--; // perhaps not there at all
            break;
        case '$':
            if (i + 1 == regex.size) {
                *to_end = true;
                return size;
            }
            break;
        case '+':
        case '.':
        case '^':
            break;
        default:
            literal = ascii_lower(c);
        }
        last_is_literal = literal != 0 && literal != '*' && literal != '^';
        if (last_is_literal)
            to[size++] = literal;
        else if (size == 0 || to[size - 1] != '*')
            to[size++] = '*';
    }
    return size;
}

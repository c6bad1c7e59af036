#include "filter/pieces.h"

#define P(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1, 64 - 8 * (sizeof(text) - 1)                                        \
    }

const struct host_piece pieces_host[PIECES_HOST] = {
    P("a"),       P("b"),       P("c"),       P("d"),        P("e"),        P("f"),
    P("g"),       P("h"),       P("i"),       P("j"),        P("k"),        P("l"),
    P("m"),       P("n"),       P("o"),       P("p"),        P("q"),        P("r"),
    P("s"),       P("t"),       P("u"),       P("v"),        P("w"),        P("x"),
    P("y"),       P("z"),       P("0"),       P("1"),        P("2"),        P("3"),
    P("4"),       P("5"),       P("6"),       P("7"),        P("8"),        P("9"),
    P("-"),       P("."),       P("_"),       P(":"),        P("["),        P("]"),
    P("*"),       P("-s"),      P(".b"),      P(".c"),       P(".d"),       P(".f"),
    P(".g"),      P(".h"),      P(".l"),      P(".m"),       P(".n"),       P(".p"),
    P(".s"),      P(".t"),      P(".v"),      P("2."),       P("a."),       P("a8"),
    P("ac"),      P("ad"),      P("af"),      P("ag"),       P("ai"),       P("aj"),
    P("ak"),      P("al"),      P("am"),      P("an"),       P("ap"),       P("ar"),
    P("as"),      P("at"),      P("av"),      P("ay"),       P("az"),       P("be"),
    P("bl"),      P("br"),      P("bu"),      P("ch"),       P("ck"),       P("cl"),
    P("co"),      P("di"),      P("dn"),      P("ds"),       P("e-"),       P("e."),
    P("ea"),      P("eb"),      P("ec"),      P("ed"),       P("eg"),       P("eh"),
    P("ek"),      P("el"),      P("em"),      P("en"),       P("ep"),       P("er"),
    P("es"),      P("et"),      P("ev"),      P("ew"),       P("ex"),       P("fl"),
    P("fr"),      P("gl"),      P("gr"),      P("gu"),       P("ia"),       P("ic"),
    P("id"),      P("if"),      P("ig"),      P("il"),       P("im"),       P("in"),
    P("io"),      P("ip"),      P("ir"),      P("is"),       P("it"),       P("iv"),
    P("iz"),      P("jp"),      P("le"),      P("ll"),       P("lo"),       P("lu"),
    P("ly"),      P("nt"),      P("o."),      P("ob"),       P("oc"),       P("od"),
    P("of"),      P("ol"),      P("om"),      P("on"),       P("oo"),       P("or"),
    P("os"),      P("ot"),      P("ou"),      P("ov"),       P("ow"),       P("ph"),
    P("pl"),      P("pr"),      P("qu"),      P("re"),       P("ro"),       P("rt"),
    P("ru"),      P("s."),      P("sc"),      P("se"),       P("sh"),       P("sm"),
    P("sp"),      P("ss"),      P("sw"),      P("te"),       P("th"),       P("tm"),
    P("tr"),      P("ub"),      P("ul"),      P("um"),       P("un"),       P("up"),
    P("ur"),      P("us"),      P("ut"),      P("vi"),       P("yl"),       P("ym"),
    P("yp"),      P("ys"),      P(".ad"),     P(".de"),      P(".dk"),      P(".in"),
    P(".pl"),     P(".ru"),     P("and"),     P("app"),      P("art"),      P("ass"),
    P("con"),     P("ect"),     P("elp"),     P("ent"),      P("ers"),      P("est"),
    P("for"),     P("gtm"),     P("ill"),     P("ine"),      P("ing"),      P("ion"),
    P("net"),     P("new"),     P("ont"),     P("oud"),      P("por"),      P("sst"),
    P("ter"),     P("und"),     P("wor"),     P("www"),      P(".act"),     P(".cfd"),
    P(".com"),    P(".net"),    P(".org"),    P(".xyz"),     P("link"),     P("load"),
    P("medi"),    P("porn"),    P("stat"),    P("www."),     P(".cyou"),    P(".qpon"),
    P(".shop"),   P(".site"),   P("a.com"),   P("d.com"),    P("e.com"),    P("k.com"),
    P("load."),   P("o.com"),   P("r.com"),   P("s.com"),    P("t.com"),    P("y.com"),
    P(".space"),  P("al.com"),  P("er.com"),  P("es.com"),   P("onserv"),   P("server"),
    P(".com.br"), P(".online"), P("ice.com"), P(".website"), P("metrics."), P(".top"),
    P("ads."),    P(".info"),   P("track"),   P("click"),
};

#undef P
#define P(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

enum { FIRST_CHARACTER = ' ', CHARACTERS = '~' - ' ' + 1 };
/* The codes up to CHARACTERS stand for printable ASCII; those that follow for these. */
static const struct {
    char text[14];
    uint8_t size;
} text_pieces[PIECES_SUBJECTS][PIECES_TEXT - CHARACTERS] = {
    [PIECES_REQUESTS] = { P("*/"), P("-c"), P(".c"), P(".n"), P("/*"), P("/c"), P("/p"), P("@@"), P("\\."), P("\\/"), P("^$"), P("ac"), P("ad"), P("ag"), P("al"), P("am"), P("an"), P("ar"), P("at"), P("au"), P("ay"), P("be"), P("bl"), P("br"), P("ce"), P("ch"), P("co"), P("de"), P("dn"), P("e."), P("ec"), P("ed"), P("el"), P("en"), P("er"), P("es"), P("et"), P("ev"), P("ew"), P("ex"), P("fi"), P("fr"), P("ho"), P("ic"), P("id"), P("il"), P("im"), P("in"), P("io"), P("ip"), P("it"), P("js"), P("le"), P("li"), P("lo"), P("ma"), P("me"), P("mo"), P("no"), P("nt"), P("o."), P("oc"), P("ol"), P("on"), P("oo"), P("op"), P("or"), P("ou"), P("pl"), P("po"), P("pu"), P("re"), P("ri"), P("ro"), P("ru"), P("s."), P("s/"), P("se"), P("sh"), P("sp"), P("ss"), P("st"), P("su"), P("te"), P("th"), P("ti"), P("to"), P("tr"), P("un"), P("ur"), P("us"), P("ve"), P("vi"), P("||"), P(".co"), P(".de"), P(".jp"), P(".js"), P("ads"), P("all"), P("and"), P("api"), P("ass"), P("com"), P("end"), P("ent"), P("er."), P("er/"), P("ima"), P("ing"), P("ion"), P("js/"), P("lin"), P("ner"), P("ont"), P("sdk"), P("tag"), P("ver"), P("||a"), P("||b"), P("||c"), P("||g"), P("||m"), P("||p"), P("||s"), P("||t"), P("$doc"), P(".com"), P(".gif"), P(".jp|"), P(".js$"), P(".net"), P("@@||"), P("digi"), P("load"), P("play"), P("port"), P("vide"), P(".com/"), P(".com|"), P(".net/"), P(".net|"), P("^$all"), P("^$doc"), P("ghide"), P("media"), P("track"), P("$image"), P(".com^$"), P("google"), P("s.com/"), P("$script"), P(",domain="), P(",redirect"), P(".com^$doc"), P(".js$script"), P(".com^$popup"), P("third-party"), P("^$third-party"), },
    [PIECES_PAGES] = { P("\"]"), P("##"), P("-b"), P("-w"), P(".*"), P(".p"), P(".u"), P(": "), P("=\""), P("Ad"), P("__"), P("ad"), P("al"), P("am"), P("an"), P("ap"), P("ar"), P("at"), P("au"), P("ba"), P("be"), P("bi"), P("bo"), P("ce"), P("ch"), P("ck"), P("co"), P("d-"), P("da"), P("de"), P("di"), P("do"), P("du"), P("ed"), P("em"), P("er"), P("fi"), P("fo"), P("ga"), P("ge"), P("ha"), P("he"), P("ho"), P("ht"), P("ic"), P("id"), P("il"), P("im"), P("in"), P("it"), P("ke"), P("la"), P("ld"), P("le"), P("li"), P("ll"), P("lo"), P("ma"), P("me"), P("mo"), P("ne"), P("ng"), P("no"), P("nt"), P("on"), P("or"), P("ot"), P("ou"), P("pa"), P("pe"), P("po"), P("pu"), P("px"), P("ra"), P("re"), P("ri"), P("ro"), P("ru"), P("s-"), P("s."), P("s_"), P("sc"), P("se"), P("sh"), P("si"), P("sk"), P("so"), P("sp"), P("ss"), P("st"), P("su"), P("t-"), P("ta"), P("te"), P("th"), P("ti"), P("to"), P("un"), P("ve"), P("vi"), P("we"), P(" > "), P("###"), P("##."), P("##["), P("*=\""), P("-ad"), P(".co"), P("/\"]"), P("^=\""), P("_ad"), P("ads"), P("ati"), P("box"), P("div"), P("ent"), P("get"), P("ght"), P("ing"), P("lay"), P("new"), P("pla"), P("red"), P("the"), P("tic"), P("top"), P("ver"), P("wid"), P("-ad-"), P(".com"), P(".net"), P("cont"), P("div["), P("game"), P("ment"), P("porn"), P("side"), P("tion"), P("###ad"), P("##.ad"), P(".com,"), P(":has("), P("block"), P("class"), P("s.com"), P("style"), P("##.ad-"), P(".com##"), P("a[href"), P("banner"), P("header"), P("rapper"), P("s.com,"), P("sponso"), P(".com###"), P(".com##."), P(".com##["), P("s.com##."), P("container"), },
};

static const char characters[] =
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
    "abcdefghijklmnopqrstuvwxyz{|}~";
_Static_assert(sizeof characters - 1 == CHARACTERS, "all of them");

static inline struct span text_piece(enum pieces_subject subject, unsigned code)
{
    return code < CHARACTERS ? span_of(&characters[code], 1)
                             : span_of(text_pieces[subject][code - CHARACTERS].text,
                                       text_pieces[subject][code - CHARACTERS].size);
}

static unsigned key_of(const char *text)
{
    return (uint8_t)text[0] | (unsigned)(uint8_t)text[1] << 8;
}

/* `pieces`: their texts, by their codes. */
static void index_pieces(struct pieces_table *table, const struct span *pieces, unsigned count)
{
    unsigned filled = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned key = pieces[i].size > 1 ? key_of(pieces[i].at) : 0;

        if (pieces[i].size == 1) {
            table->single[(uint8_t)pieces[i].at[0]] = (uint8_t)i;
            table->has_single[(uint8_t)pieces[i].at[0]] = true;
        }
        if (pieces[i].size < 2 || table->count[key])
            continue; // or it was there with its like
        table->begin[key] = (uint8_t)filled;
        for (size_t size = 16; size > 1; size--)
            for (unsigned k = i; k < count; k++)
                if (pieces[k].size == size && key_of(pieces[k].at) == key) {
                    table->codes[filled++] = (uint8_t)k;
                    table->count[key]++;
                }
    }
}

void pieces_index_init(struct pieces_index *index)
{
    struct span pieces[256];

    memset(index, 0, sizeof *index);
    for (unsigned i = 0; i < PIECES_HOST; i++)
        pieces[i] = span_of(pieces_host[i].text, pieces_host[i].size);
    index_pieces(&index->host, pieces, PIECES_HOST);
    for (unsigned subject = 0; subject < PIECES_SUBJECTS; subject++) {
        for (unsigned i = 0; i < PIECES_TEXT; i++)
            pieces[i] = text_piece(subject, i);
        index_pieces(&index->texts[subject], pieces, PIECES_TEXT);
    }
}

/* Up to eight bytes; behind the end of the text there are NULs, which no piece has. */
static inline uint64_t bytes_at(struct span text, size_t at)
{
    uint64_t bytes = 0;

    if (text.size - at >= sizeof bytes)
        memcpy(&bytes, text.at + at, sizeof bytes);
    else
        memcpy(&bytes, text.at + at, text.size - at);
    return bytes;
}

size_t pieces_pack_host(const struct pieces_index *index, struct span name, uint8_t *to)
{
    const struct pieces_table *table = &index->host;
    size_t size = 0, at = 0;

    while (at < name.size) {
        uint64_t have = bytes_at(name, at), want;
        const uint8_t *code = &table->codes[table->begin[have & 0xffff]];
        const uint8_t *end = code + table->count[have & 0xffff];

        for (; code < end; code++) {
            const struct host_piece *piece = &pieces_host[*code];
            memcpy(&want, piece->text, sizeof want);
            if (!((have ^ want) << piece->shift))
                break;
        }
        if (code == end)
            code = &table->single[have & 0xff];
        if (code == &table->single[have & 0xff] && !table->has_single[have & 0xff])
            return 0;
        to[size++] = *code;
        at += pieces_host[*code].size;
    }
    return size;
}

size_t pieces_unpack_host(const uint8_t *codes, size_t count, char *to)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        const struct host_piece *piece = &pieces_host[codes[i]];
        memcpy(to + size, piece->text, piece->size);
        size += piece->size;
    }
    return size;
}

/* Does a piece of text stand there? `have`: the first bytes there. */
static bool is_text_piece(struct span piece, uint64_t have, struct span rest)
{
    uint64_t want;

    memcpy(&want, piece.at, sizeof want); // pieces of two bytes and more have the room
    if ((have ^ want) << (piece.size < 8 ? 64 - 8 * piece.size : 0))
        return false;
    return piece.size <= 8 || span_starts(rest, piece);
}

size_t pieces_pack_text(const struct pieces_index *index, enum pieces_subject subject,
                        struct span text, uint8_t *to)
{
    const struct pieces_table *table = &index->texts[subject];
    size_t size = 0, at = 0;

    while (at < text.size) {
        uint64_t have = bytes_at(text, at);
        const uint8_t *code = &table->codes[table->begin[have & 0xffff]];
        const uint8_t *end = code + table->count[have & 0xffff];

        while (code < end && !is_text_piece(text_piece(subject, *code), have, span_from(text, at)))
            code++;
        if (code == end)
            code = &table->single[have & 0xff];
        if (code == &table->single[have & 0xff] && !table->has_single[have & 0xff]) {
            to[size++] = PIECES_TEXT_RAW;
            to[size++] = (uint8_t)text.at[at++];
        } else {
            to[size++] = *code;
            at += text_piece(subject, *code).size;
        }
    }
    return size;
}

size_t pieces_unpack_text(enum pieces_subject subject, const uint8_t *codes, size_t count, char *to,
                          size_t limit)
{
    size_t size = 0;

    for (size_t i = 0; i < count && size < limit; i++) {
        struct span piece = SPAN(""); // of a code that is none

        if (codes[i] < PIECES_TEXT)
            piece = text_piece(subject, codes[i]);
        else if (codes[i] == PIECES_TEXT_RAW && ++i < count)
            piece = span_of((const char *)&codes[i], 1);
        if (piece.size > limit - size)
            piece.size = limit - size;
        memcpy(to + size, piece.at, piece.size);
        size += piece.size;
    }
    return size;
}

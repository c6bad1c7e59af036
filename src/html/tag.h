/*
 * tag.h - the names of elements: one number for each that HTML's parser treats in its own way.
 *
 * Every element name, known or not, has a key: a 64-bit number made from its bytes with ASCII
 * letters in lower case, so that names are compared by one compare. Names up to eight bytes are
 * their own key; longer ones are hashed. Knows nothing of tokens or trees.
 */
#ifndef DEJUNK_HTML_TAG_H
#define DEJUNK_HTML_TAG_H

#include "base/bytes.h"

enum tag_flag {
    TAG_VOID = 1 << 0,    // never has content nor an end tag
    TAG_SPECIAL = 1 << 1, // HTML section 13.2.4.2, as are the next three
    TAG_FORMATTING = 1 << 2,
    TAG_SCOPE = 1 << 3,      // ends the search for "an element in scope"
    TAG_IMPLIED_END = 1 << 4 // popped by "generate implied end tags"
};

/* What a start tag does in the insertion mode "in body" (HTML section 13.2.6.4.7). */
enum tag_start {
    TAG_START_ORDINARY, // reconstruct formatting, insert
    TAG_START_BLOCK,    // close a p, insert
    TAG_START_HEADING,
    TAG_START_PRE,
    TAG_START_FORM,
    TAG_START_LIST_ITEM,
    TAG_START_DEFINITION,
    TAG_START_PLAIN, // plaintext
    TAG_START_BUTTON,
    TAG_START_ANCHOR,
    TAG_START_FORMAT,
    TAG_START_NO_BREAK,
    TAG_START_OBJECT_LIKE,
    TAG_START_TABLE,
    TAG_START_VOID_INLINE, // reconstruct, insert, pop; the document is no frameset any more
    TAG_START_INPUT,
    TAG_START_VOID_META, // param, source, track: insert, pop
    TAG_START_RULE,      // hr
    TAG_START_IMAGE_ALIAS,
    TAG_START_TEXTAREA,
    TAG_START_XMP,
    TAG_START_IFRAME,
    TAG_START_RAW, // noembed, and noscript where scripts run
    TAG_START_SELECT,
    TAG_START_OPTION_LIKE,
    TAG_START_RUBY_BASE,
    TAG_START_RUBY_TEXT,
    TAG_START_MATH,
    TAG_START_SVG,
    TAG_START_MISPLACED, // caption, td ...: ignored
    TAG_START_HEAD_CONTENT,
    TAG_START_HTML,
    TAG_START_BODY,
    TAG_START_FRAMESET
};

/* id, name, flags, what its start tag does in body */
#define TAGS(ROW)                                                                                  \
    ROW(A, "a", TAG_FORMATTING, ANCHOR)                                                            \
    ROW(ADDRESS, "address", TAG_SPECIAL, BLOCK)                                                    \
    ROW(ANNOTATION_XML, "annotation-xml", 0, ORDINARY)                                             \
    ROW(APPLET, "applet", TAG_SPECIAL | TAG_SCOPE, OBJECT_LIKE)                                    \
    ROW(AREA, "area", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                         \
    ROW(ARTICLE, "article", TAG_SPECIAL, BLOCK)                                                    \
    ROW(ASIDE, "aside", TAG_SPECIAL, BLOCK)                                                        \
    ROW(AUDIO, "audio", 0, ORDINARY)                                                               \
    ROW(B, "b", TAG_FORMATTING, FORMAT)                                                            \
    ROW(BASE, "base", TAG_SPECIAL | TAG_VOID, HEAD_CONTENT)                                        \
    ROW(BASEFONT, "basefont", TAG_SPECIAL | TAG_VOID, HEAD_CONTENT)                                \
    ROW(BGSOUND, "bgsound", TAG_SPECIAL | TAG_VOID, HEAD_CONTENT)                                  \
    ROW(BIG, "big", TAG_FORMATTING, FORMAT)                                                        \
    ROW(BLOCKQUOTE, "blockquote", TAG_SPECIAL, BLOCK)                                              \
    ROW(BODY, "body", TAG_SPECIAL, BODY)                                                           \
    ROW(BR, "br", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                             \
    ROW(BUTTON, "button", TAG_SPECIAL, BUTTON)                                                     \
    ROW(CANVAS, "canvas", 0, ORDINARY)                                                             \
    ROW(CAPTION, "caption", TAG_SPECIAL | TAG_SCOPE, MISPLACED)                                    \
    ROW(CENTER, "center", TAG_SPECIAL, BLOCK)                                                      \
    ROW(CODE, "code", TAG_FORMATTING, FORMAT)                                                      \
    ROW(COL, "col", TAG_SPECIAL | TAG_VOID, MISPLACED)                                             \
    ROW(COLGROUP, "colgroup", TAG_SPECIAL, MISPLACED)                                              \
    ROW(DD, "dd", TAG_SPECIAL | TAG_IMPLIED_END, DEFINITION)                                       \
    ROW(DESC, "desc", 0, ORDINARY)                                                                 \
    ROW(DETAILS, "details", TAG_SPECIAL, BLOCK)                                                    \
    ROW(DIALOG, "dialog", 0, BLOCK)                                                                \
    ROW(DIR, "dir", TAG_SPECIAL, BLOCK)                                                            \
    ROW(DIV, "div", TAG_SPECIAL, BLOCK)                                                            \
    ROW(DL, "dl", TAG_SPECIAL, BLOCK)                                                              \
    ROW(DT, "dt", TAG_SPECIAL | TAG_IMPLIED_END, DEFINITION)                                       \
    ROW(EM, "em", TAG_FORMATTING, FORMAT)                                                          \
    ROW(EMBED, "embed", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                       \
    ROW(FIELDSET, "fieldset", TAG_SPECIAL, BLOCK)                                                  \
    ROW(FIGCAPTION, "figcaption", TAG_SPECIAL, BLOCK)                                              \
    ROW(FIGURE, "figure", TAG_SPECIAL, BLOCK)                                                      \
    ROW(FONT, "font", TAG_FORMATTING, FORMAT)                                                      \
    ROW(FOOTER, "footer", TAG_SPECIAL, BLOCK)                                                      \
    ROW(FOREIGNOBJECT, "foreignobject", 0, ORDINARY)                                               \
    ROW(FORM, "form", TAG_SPECIAL, FORM)                                                           \
    ROW(FRAME, "frame", TAG_SPECIAL | TAG_VOID, MISPLACED)                                         \
    ROW(FRAMESET, "frameset", TAG_SPECIAL, FRAMESET)                                               \
    ROW(H1, "h1", TAG_SPECIAL, HEADING)                                                            \
    ROW(H2, "h2", TAG_SPECIAL, HEADING)                                                            \
    ROW(H3, "h3", TAG_SPECIAL, HEADING)                                                            \
    ROW(H4, "h4", TAG_SPECIAL, HEADING)                                                            \
    ROW(H5, "h5", TAG_SPECIAL, HEADING)                                                            \
    ROW(H6, "h6", TAG_SPECIAL, HEADING)                                                            \
    ROW(HEAD, "head", TAG_SPECIAL, MISPLACED)                                                      \
    ROW(HEADER, "header", TAG_SPECIAL, BLOCK)                                                      \
    ROW(HGROUP, "hgroup", TAG_SPECIAL, BLOCK)                                                      \
    ROW(HR, "hr", TAG_SPECIAL | TAG_VOID, RULE)                                                    \
    ROW(HTML, "html", TAG_SPECIAL | TAG_SCOPE, HTML)                                               \
    ROW(I, "i", TAG_FORMATTING, FORMAT)                                                            \
    ROW(IFRAME, "iframe", TAG_SPECIAL, IFRAME)                                                     \
    ROW(IMAGE, "image", 0, IMAGE_ALIAS)                                                            \
    ROW(IMG, "img", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                           \
    ROW(INPUT, "input", TAG_SPECIAL | TAG_VOID, INPUT)                                             \
    ROW(INS, "ins", 0, ORDINARY)                                                                   \
    ROW(KEYGEN, "keygen", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                     \
    ROW(LABEL, "label", 0, ORDINARY)                                                               \
    ROW(LI, "li", TAG_SPECIAL | TAG_IMPLIED_END, LIST_ITEM)                                        \
    ROW(LINK, "link", TAG_SPECIAL | TAG_VOID, HEAD_CONTENT)                                        \
    ROW(LISTING, "listing", TAG_SPECIAL, PRE)                                                      \
    ROW(MAIN, "main", TAG_SPECIAL, BLOCK)                                                          \
    ROW(MALIGNMARK, "malignmark", 0, ORDINARY)                                                     \
    ROW(MARQUEE, "marquee", TAG_SPECIAL | TAG_SCOPE, OBJECT_LIKE)                                  \
    ROW(MATH, "math", 0, MATH)                                                                     \
    ROW(MENU, "menu", TAG_SPECIAL, BLOCK)                                                          \
    ROW(META, "meta", TAG_SPECIAL | TAG_VOID, HEAD_CONTENT)                                        \
    ROW(MGLYPH, "mglyph", 0, ORDINARY)                                                             \
    ROW(MI, "mi", 0, ORDINARY)                                                                     \
    ROW(MN, "mn", 0, ORDINARY)                                                                     \
    ROW(MO, "mo", 0, ORDINARY)                                                                     \
    ROW(MS, "ms", 0, ORDINARY)                                                                     \
    ROW(MTEXT, "mtext", 0, ORDINARY)                                                               \
    ROW(NAV, "nav", TAG_SPECIAL, BLOCK)                                                            \
    ROW(NOBR, "nobr", TAG_FORMATTING, NO_BREAK)                                                    \
    ROW(NOEMBED, "noembed", TAG_SPECIAL, RAW)                                                      \
    ROW(NOFRAMES, "noframes", TAG_SPECIAL, HEAD_CONTENT)                                           \
    ROW(NOSCRIPT, "noscript", TAG_SPECIAL, RAW)                                                    \
    ROW(OBJECT, "object", TAG_SPECIAL | TAG_SCOPE, OBJECT_LIKE)                                    \
    ROW(OL, "ol", TAG_SPECIAL, BLOCK)                                                              \
    ROW(OPTGROUP, "optgroup", TAG_IMPLIED_END, OPTION_LIKE)                                        \
    ROW(OPTION, "option", TAG_IMPLIED_END, OPTION_LIKE)                                            \
    ROW(P, "p", TAG_SPECIAL | TAG_IMPLIED_END, BLOCK)                                              \
    ROW(PARAM, "param", TAG_SPECIAL | TAG_VOID, VOID_META)                                         \
    ROW(PICTURE, "picture", 0, ORDINARY)                                                           \
    ROW(PLAINTEXT, "plaintext", TAG_SPECIAL, PLAIN)                                                \
    ROW(PRE, "pre", TAG_SPECIAL, PRE)                                                              \
    ROW(RB, "rb", TAG_IMPLIED_END, RUBY_BASE)                                                      \
    ROW(RP, "rp", TAG_IMPLIED_END, RUBY_TEXT)                                                      \
    ROW(RT, "rt", TAG_IMPLIED_END, RUBY_TEXT)                                                      \
    ROW(RTC, "rtc", TAG_IMPLIED_END, RUBY_BASE)                                                    \
    ROW(RUBY, "ruby", 0, ORDINARY)                                                                 \
    ROW(S, "s", TAG_FORMATTING, FORMAT)                                                            \
    ROW(SCRIPT, "script", TAG_SPECIAL, HEAD_CONTENT)                                               \
    ROW(SEARCH, "search", TAG_SPECIAL, BLOCK)                                                      \
    ROW(SECTION, "section", TAG_SPECIAL, BLOCK)                                                    \
    ROW(SELECT, "select", TAG_SPECIAL, SELECT)                                                     \
    ROW(SMALL, "small", TAG_FORMATTING, FORMAT)                                                    \
    ROW(SOURCE, "source", TAG_SPECIAL | TAG_VOID, VOID_META)                                       \
    ROW(SPAN, "span", 0, ORDINARY)                                                                 \
    ROW(STRIKE, "strike", TAG_FORMATTING, FORMAT)                                                  \
    ROW(STRONG, "strong", TAG_FORMATTING, FORMAT)                                                  \
    ROW(STYLE, "style", TAG_SPECIAL, HEAD_CONTENT)                                                 \
    ROW(SUB, "sub", 0, ORDINARY)                                                                   \
    ROW(SUMMARY, "summary", TAG_SPECIAL, BLOCK)                                                    \
    ROW(SUP, "sup", 0, ORDINARY)                                                                   \
    ROW(SVG, "svg", 0, SVG)                                                                        \
    ROW(TABLE, "table", TAG_SPECIAL | TAG_SCOPE, TABLE)                                            \
    ROW(TBODY, "tbody", TAG_SPECIAL, MISPLACED)                                                    \
    ROW(TD, "td", TAG_SPECIAL | TAG_SCOPE, MISPLACED)                                              \
    ROW(TEMPLATE, "template", TAG_SPECIAL | TAG_SCOPE, HEAD_CONTENT)                               \
    ROW(TEXTAREA, "textarea", TAG_SPECIAL, TEXTAREA)                                               \
    ROW(TFOOT, "tfoot", TAG_SPECIAL, MISPLACED)                                                    \
    ROW(TH, "th", TAG_SPECIAL | TAG_SCOPE, MISPLACED)                                              \
    ROW(THEAD, "thead", TAG_SPECIAL, MISPLACED)                                                    \
    ROW(TITLE, "title", TAG_SPECIAL, HEAD_CONTENT)                                                 \
    ROW(TR, "tr", TAG_SPECIAL, MISPLACED)                                                          \
    ROW(TRACK, "track", TAG_SPECIAL | TAG_VOID, VOID_META)                                         \
    ROW(TT, "tt", TAG_FORMATTING, FORMAT)                                                          \
    ROW(U, "u", TAG_FORMATTING, FORMAT)                                                            \
    ROW(UL, "ul", TAG_SPECIAL, BLOCK)                                                              \
    ROW(VAR, "var", 0, ORDINARY)                                                                   \
    ROW(VIDEO, "video", 0, ORDINARY)                                                               \
    ROW(WBR, "wbr", TAG_SPECIAL | TAG_VOID, VOID_INLINE)                                           \
    ROW(XMP, "xmp", TAG_SPECIAL, XMP)

enum tag {
    TAG_OTHER, // no name of its own here
#define TAG_ID(id, name, flags, start) TAG_##id,
    TAGS(TAG_ID)
#undef TAG_ID
        TAGS_COUNT
};

struct tag_row {
    const char *name;
    uint8_t flags, start, size;
};

/* Eight bytes, those from 'A' to 'Z' in lower case. */
static inline uint64_t tag_fold(uint64_t bytes)
{
    uint64_t low, from_a, past_z, upper;

    if (__builtin_expect(!(bytes & ~(bytes << 1) & 0x4040404040404040), 1))
        return bytes; // nothing from '@' to '_'
    low = bytes & 0x7f7f7f7f7f7f7f7f;
    from_a = low + 0x3f3f3f3f3f3f3f3f; // high bit set: 'A' or above
    past_z = low + 0x2525252525252525; // high bit set: above 'Z'
    upper = from_a & ~past_z & ~bytes & 0x8080808080808080;
    return bytes | upper >> 2;
}

/* The first none to eight bytes of a word. */
extern const uint64_t tag_masks[9];

/* The key of a name longer than eight bytes. */
uint64_t tag_long_key(const char *at, size_t size);

/* A name's first eight bytes, or all that it has, in lower case. `is_inside`: the eight bytes from
 * the first on may be read; it is much faster then. */
static inline uint64_t tag_beginning(struct span name, bool is_inside)
{
    size_t size = name.size < 8 ? name.size : 8;
    uint64_t word = 0;

    if (is_inside) {
        memcpy(&word, name.at, sizeof word);
        return tag_fold(word & tag_masks[size]);
    }
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)(unsigned char)name.at[i] << (8 * i);
    return tag_fold(word);
}

/* The key of a name, ASCII letters of either case being equal. Reads within the name only. */
static inline uint64_t tag_key(struct span name)
{
    return name.size > 8 ? tag_long_key(name.at, name.size) : tag_beginning(name, false);
}

/* The same, where the eight bytes from the name's first on may be read. */
static inline uint64_t tag_key_fast(struct span name)
{
    return name.size > 8 ? tag_long_key(name.at, name.size) : tag_beginning(name, true);
}

/* tag.c: a perfect hash; the slot of a key is the top bits of its product with TAG_SLOT_FACTOR. */
enum { TAG_SLOT_BITS = 10 };
#define TAG_SLOT_FACTOR 0xe1f6bd6a90d55e2fU
extern const uint8_t tag_slots[1 << TAG_SLOT_BITS];
extern const uint64_t tag_keys[TAGS_COUNT];
extern const struct tag_row tag_rows[TAGS_COUNT];

/* The element with this key, or TAG_OTHER. */
static inline enum tag tag_find(uint64_t key)
{
    enum tag tag = (enum tag)tag_slots[key * TAG_SLOT_FACTOR >> (64 - TAG_SLOT_BITS)];
    return tag_keys[tag] == key ? tag : TAG_OTHER;
}

/* Of TAG_OTHER too: it has no name, no flags and is ORDINARY. */
static inline const struct tag_row *tag_row(enum tag tag)
{
    return &tag_rows[tag];
}

/* The key of its name; 0 for TAG_OTHER. */
static inline uint64_t tag_key_of(enum tag tag)
{
    return tag_keys[tag];
}

#endif

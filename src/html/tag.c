#include "html/tag.h"

#include <assert.h>

// The two tables below follow from the names in tag.h; test_tag proves that they do.
// clang-format off
const uint64_t tag_keys[TAGS_COUNT] = {
    [TAG_A] = 0x61, [TAG_ADDRESS] = 0x73736572646461, [TAG_ANNOTATION_XML] = 0xff2d6f0fe2675a6d,
    [TAG_APPLET] = 0x74656c707061, [TAG_AREA] = 0x61657261, [TAG_ARTICLE] = 0x656c6369747261,
    [TAG_ASIDE] = 0x6564697361, [TAG_AUDIO] = 0x6f69647561, [TAG_B] = 0x62,
    [TAG_BASE] = 0x65736162, [TAG_BASEFONT] = 0x746e6f6665736162,
    [TAG_BGSOUND] = 0x646e756f736762, [TAG_BIG] = 0x676962, [TAG_BLOCKQUOTE] = 0xff7b97f6b24cc8e1,
    [TAG_BODY] = 0x79646f62, [TAG_BR] = 0x7262, [TAG_BUTTON] = 0x6e6f74747562,
    [TAG_CANVAS] = 0x7361766e6163, [TAG_CAPTION] = 0x6e6f6974706163,
    [TAG_CENTER] = 0x7265746e6563, [TAG_CODE] = 0x65646f63, [TAG_COL] = 0x6c6f63,
    [TAG_COLGROUP] = 0x70756f72676c6f63, [TAG_DD] = 0x6464, [TAG_DESC] = 0x63736564,
    [TAG_DETAILS] = 0x736c6961746564, [TAG_DIALOG] = 0x676f6c616964, [TAG_DIR] = 0x726964,
    [TAG_DIV] = 0x766964, [TAG_DL] = 0x6c64, [TAG_DT] = 0x7464, [TAG_EM] = 0x6d65,
    [TAG_EMBED] = 0x6465626d65, [TAG_FIELDSET] = 0x746573646c656966,
    [TAG_FIGCAPTION] = 0xff9e0e52062a7c10, [TAG_FIGURE] = 0x657275676966, [TAG_FONT] = 0x746e6f66,
    [TAG_FOOTER] = 0x7265746f6f66, [TAG_FOREIGNOBJECT] = 0xff5d66f86b317d42,
    [TAG_FORM] = 0x6d726f66, [TAG_FRAME] = 0x656d617266, [TAG_FRAMESET] = 0x746573656d617266,
    [TAG_H1] = 0x3168, [TAG_H2] = 0x3268, [TAG_H3] = 0x3368, [TAG_H4] = 0x3468, [TAG_H5] = 0x3568,
    [TAG_H6] = 0x3668, [TAG_HEAD] = 0x64616568, [TAG_HEADER] = 0x726564616568,
    [TAG_HGROUP] = 0x70756f726768, [TAG_HR] = 0x7268, [TAG_HTML] = 0x6c6d7468, [TAG_I] = 0x69,
    [TAG_IFRAME] = 0x656d61726669, [TAG_IMAGE] = 0x6567616d69, [TAG_IMG] = 0x676d69,
    [TAG_INPUT] = 0x7475706e69, [TAG_INS] = 0x736e69, [TAG_KEYGEN] = 0x6e656779656b,
    [TAG_LABEL] = 0x6c6562616c, [TAG_LI] = 0x696c, [TAG_LINK] = 0x6b6e696c,
    [TAG_LISTING] = 0x676e697473696c, [TAG_MAIN] = 0x6e69616d,
    [TAG_MALIGNMARK] = 0xffaa3450cdc4ba26, [TAG_MARQUEE] = 0x6565757172616d,
    [TAG_MATH] = 0x6874616d, [TAG_MENU] = 0x756e656d, [TAG_META] = 0x6174656d,
    [TAG_MGLYPH] = 0x6870796c676d, [TAG_MI] = 0x696d, [TAG_MN] = 0x6e6d, [TAG_MO] = 0x6f6d,
    [TAG_MS] = 0x736d, [TAG_MTEXT] = 0x747865746d, [TAG_NAV] = 0x76616e, [TAG_NOBR] = 0x72626f6e,
    [TAG_NOEMBED] = 0x6465626d656f6e, [TAG_NOFRAMES] = 0x73656d6172666f6e,
    [TAG_NOSCRIPT] = 0x7470697263736f6e, [TAG_OBJECT] = 0x7463656a626f, [TAG_OL] = 0x6c6f,
    [TAG_OPTGROUP] = 0x70756f726774706f, [TAG_OPTION] = 0x6e6f6974706f, [TAG_P] = 0x70,
    [TAG_PARAM] = 0x6d61726170, [TAG_PICTURE] = 0x65727574636970,
    [TAG_PLAINTEXT] = 0xff58fafd4803ab2c, [TAG_PRE] = 0x657270, [TAG_RB] = 0x6272,
    [TAG_RP] = 0x7072, [TAG_RT] = 0x7472, [TAG_RTC] = 0x637472, [TAG_RUBY] = 0x79627572,
    [TAG_S] = 0x73, [TAG_SCRIPT] = 0x747069726373, [TAG_SEARCH] = 0x686372616573,
    [TAG_SECTION] = 0x6e6f6974636573, [TAG_SELECT] = 0x7463656c6573, [TAG_SMALL] = 0x6c6c616d73,
    [TAG_SOURCE] = 0x656372756f73, [TAG_SPAN] = 0x6e617073, [TAG_STRIKE] = 0x656b69727473,
    [TAG_STRONG] = 0x676e6f727473, [TAG_STYLE] = 0x656c797473, [TAG_SUB] = 0x627573,
    [TAG_SUMMARY] = 0x7972616d6d7573, [TAG_SUP] = 0x707573, [TAG_SVG] = 0x677673,
    [TAG_TABLE] = 0x656c626174, [TAG_TBODY] = 0x79646f6274, [TAG_TD] = 0x6474,
    [TAG_TEMPLATE] = 0x6574616c706d6574, [TAG_TEXTAREA] = 0x6165726174786574,
    [TAG_TFOOT] = 0x746f6f6674, [TAG_TH] = 0x6874, [TAG_THEAD] = 0x6461656874,
    [TAG_TITLE] = 0x656c746974, [TAG_TR] = 0x7274, [TAG_TRACK] = 0x6b63617274, [TAG_TT] = 0x7474,
    [TAG_U] = 0x75, [TAG_UL] = 0x6c75, [TAG_VAR] = 0x726176, [TAG_VIDEO] = 0x6f65646976,
    [TAG_WBR] = 0x726277, [TAG_XMP] = 0x706d78,
};

const uint8_t tag_slots[1 << TAG_SLOT_BITS] = {
    [2] = TAG_NOFRAMES, [17] = TAG_SPAN, [20] = TAG_KEYGEN, [25] = TAG_H1, [31] = TAG_SCRIPT,
    [45] = TAG_NOBR, [52] = TAG_MS, [59] = TAG_TBODY, [71] = TAG_OL, [72] = TAG_DT, [81] = TAG_RB,
    [87] = TAG_STRIKE, [115] = TAG_CANVAS, [117] = TAG_BASEFONT, [128] = TAG_BASE,
    [135] = TAG_MALIGNMARK, [148] = TAG_SUP, [173] = TAG_HGROUP, [181] = TAG_TEMPLATE,
    [187] = TAG_MAIN, [194] = TAG_VIDEO, [198] = TAG_TT, [199] = TAG_FRAME, [200] = TAG_MO,
    [211] = TAG_EM, [214] = TAG_HTML, [221] = TAG_ARTICLE, [222] = TAG_FIGCAPTION,
    [223] = TAG_APPLET, [237] = TAG_MN, [254] = TAG_OPTGROUP, [272] = TAG_TR, [278] = TAG_RUBY,
    [279] = TAG_U, [286] = TAG_COL, [320] = TAG_THEAD, [334] = TAG_MTEXT, [345] = TAG_EMBED,
    [369] = TAG_DL, [374] = TAG_UL, [387] = TAG_BR, [403] = TAG_SMALL, [413] = TAG_CODE,
    [422] = TAG_MI, [431] = TAG_CAPTION, [438] = TAG_RT, [460] = TAG_SVG, [472] = TAG_LINK,
    [477] = TAG_PRE, [487] = TAG_LABEL, [502] = TAG_TABLE, [510] = TAG_FRAMESET,
    [511] = TAG_SELECT, [513] = TAG_B, [519] = TAG_S, [532] = TAG_TITLE, [538] = TAG_IMAGE,
    [543] = TAG_LI, [551] = TAG_PLAINTEXT, [555] = TAG_HEAD, [562] = TAG_DETAILS,
    [578] = TAG_CENTER, [580] = TAG_IFRAME, [586] = TAG_RP, [605] = TAG_FOOTER,
    [611] = TAG_OBJECT, [612] = TAG_NOEMBED, [619] = TAG_AREA, [631] = TAG_ANNOTATION_XML,
    [633] = TAG_A, [637] = TAG_MARQUEE, [643] = TAG_TH, [665] = TAG_DD, [667] = TAG_MENU,
    [679] = TAG_TFOOT, [689] = TAG_TEXTAREA, [690] = TAG_HR, [695] = TAG_RTC, [696] = TAG_I,
    [711] = TAG_FONT, [716] = TAG_HEADER, [723] = TAG_SOURCE, [725] = TAG_SUMMARY,
    [754] = TAG_BGSOUND, [758] = TAG_FORM, [763] = TAG_PARAM, [764] = TAG_ADDRESS,
    [783] = TAG_META, [788] = TAG_SEARCH, [791] = TAG_TD, [792] = TAG_COLGROUP, [796] = TAG_DIV,
    [799] = TAG_SECTION, [802] = TAG_TRACK, [804] = TAG_SUB, [809] = TAG_INS,
    [813] = TAG_BLOCKQUOTE, [821] = TAG_FIELDSET, [829] = TAG_MGLYPH, [838] = TAG_DIR,
    [843] = TAG_MATH, [844] = TAG_FIGURE, [862] = TAG_WBR, [863] = TAG_DIALOG, [864] = TAG_H6,
    [866] = TAG_BODY, [867] = TAG_XMP, [879] = TAG_P, [887] = TAG_BUTTON, [901] = TAG_H5,
    [905] = TAG_FOREIGNOBJECT, [906] = TAG_AUDIO, [908] = TAG_LISTING, [912] = TAG_NOSCRIPT,
    [915] = TAG_NAV, [924] = TAG_INPUT, [935] = TAG_DESC, [936] = TAG_BIG, [938] = TAG_H4,
    [940] = TAG_ASIDE, [961] = TAG_STYLE, [966] = TAG_OPTION, [969] = TAG_STRONG, [970] = TAG_IMG,
    [975] = TAG_H3, [989] = TAG_PICTURE, [1012] = TAG_H2, [1019] = TAG_VAR,
};
// clang-format on

const struct tag_row tag_rows[TAGS_COUNT] = { [TAG_OTHER] = { "", 0, TAG_START_ORDINARY, 0 },
#define TAG_ROW(id, name, flags, start)                                                            \
    [TAG_##id] = { name, flags, TAG_START_##start, sizeof(name) - 1 },
                                              TAGS(TAG_ROW)
#undef TAG_ROW
};

const uint64_t tag_masks[9] = {
    0x00,         0xff,           0xffff,           0xffffff,           0xffffffff,
    0xffffffffff, 0xffffffffffff, 0xffffffffffffff, 0xffffffffffffffff,
};

uint64_t tag_long_key(const char *at, size_t size)
{
    uint64_t hash = size * 0x9e3779b97f4a7c15, word;

    assert(size > 8);
    for (size_t i = 0; i < size; i += 8) {
        size_t left = size - i;
        if (left >= 8) {
            memcpy(&word, at + i, 8);
        } else { // the last bytes, and zeros behind them
            memcpy(&word, at + size - 8, 8);
            word >>= 8 * (8 - left);
        }
        hash = (hash ^ tag_fold(word)) * 0xd6e8feb86659fd93;
        hash ^= hash >> 32;
    }
    return hash | 0xffULL << 56;
}

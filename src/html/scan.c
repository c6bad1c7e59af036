#include "html/scan.h"

#define SPACE (SCAN_SPACE | SCAN_TAG_NAME_END | SCAN_NAME_END | SCAN_VALUE_END)
#define LETTERS(first, second)                                                                     \
    [first] = SCAN_LETTER, [first + 1] = SCAN_LETTER, [second] = SCAN_LETTER,                      \
    [second + 1] = SCAN_LETTER

const uint8_t scan_classes[256] = {
    ['\t'] = SPACE,
    ['\n'] = SPACE,
    ['\f'] = SPACE,
    ['\r'] = SPACE,
    [' '] = SPACE,
    ['/'] = SCAN_TAG_NAME_END | SCAN_NAME_END,
    ['>'] = SCAN_TAG_NAME_END | SCAN_NAME_END | SCAN_VALUE_END,
    ['='] = SCAN_NAME_END,
    LETTERS('a', 'A'),
    LETTERS('c', 'C'),
    LETTERS('e', 'E'),
    LETTERS('g', 'G'),
    LETTERS('i', 'I'),
    LETTERS('k', 'K'),
    LETTERS('m', 'M'),
    LETTERS('o', 'O'),
    LETTERS('q', 'Q'),
    LETTERS('s', 'S'),
    LETTERS('u', 'U'),
    LETTERS('w', 'W'),
    LETTERS('y', 'Y'),
};

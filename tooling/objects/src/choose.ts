// Which pieces become objects of the set, and the words for them.

import type { Piece } from './catalogue'

/** Largest side of an object, metres. */
const LARGEST = 0.4

/** Fittings that the catalogues do not mark as such, and what is no object to pick up. */
const DROPPED: Readonly<Record<string, string>> = {
  CCTV: 'a fitting that is not marked as one',
  'smoke-detector': 'a fitting that is not marked as one',
  knifeStandSwap: 'a fitting that is not marked as one',
  'billet-10-euros': 'a sheet, drawn as a box',
  'billet-20-euros': 'a sheet, drawn as a box',
  'billet-50-euros': 'a sheet, drawn as a box',
}

/** Texts where an article and the catalogue's name are not good English, or say too little. */
const TEXTS: Readonly<Record<string, string>> = {
  caffe_final: 'an espresso cup on a saucer',
  cartoon_biplane: 'a toy biplane',
  cissors_swap: 'a pair of scissors',
  housePuzzle: 'a puzzle',
  kitchenaid: 'a stand mixer',
  butter: 'a butter dish',
  tetrapak: 'a milk carton',
  flacon: 'a perfume bottle',
  headphones: 'a pair of headphones',
  iphone: 'a smartphone',
  littlePlant: 'a potted plant',
  kalender: 'a desk calendar',
  slippers: 'a pair of slippers',
  cardGame: 'a deck of cards',
  riggedFan: 'a fan',
  bootie: 'a pair of ankle boots',
  woodToy: 'a wooden toy',
  cupcake: 'a cupcake',
  bread: 'a loaf of bread',
  'carrito-de-madera': 'a wooden toy car',
  clock: 'an alarm clock',
  glass: 'a wine glass',
  lipStick: 'a lipstick',
  luckyBamboo: 'a potted bamboo',
  mobile: 'a mobile phone',
  boiler: 'a kettle',
  wirelessOfficePhone3: 'a cordless phone',
  sunglasses: 'a pair of sunglasses',
  arbolito: 'a Christmas tree',
  pottery: 'a clay bowl',
  jar: 'a vase',
  apples: 'a bowl of apples',
  com_bath2_jabon_pijo: 'a soap dispenser',
  com_bath2_soap: 'a soap dispenser',
  frame1: 'a picture frame',
  frame2: 'a picture frame',
  glasses: 'a pair of glasses',
  penbox: 'a pen holder',
  sugar: 'a sugar bowl',
  mp3_base_for_ipad: 'a music dock',
  mp3Station: 'a music player',
  sneakers: 'a pair of sneakers',
  woman_shoes: "a pair of women's shoes",
  mocassin: 'a pair of moccasins',
  chaussette: 'a pair of socks',
  casque: 'a motorcycle helmet',
  'rouleau-de-ruban-adhesif': 'a roll of tape',
  'perceuse-electrique': 'an electric drill',
  cendrier: 'an ashtray',
  keys: 'a bunch of keys',
  playstation4: 'a game console',
  'ps4-joystick': 'a game controller',
  frenchFries: 'a plate of French fries',
  bowlWithFruits: 'a bowl of fruit',
  bowlWithSalad: 'a bowl of salad',
  kitchenKnifeStandSet: 'a knife block',
  steak: 'a steak on a plate',
}

/** Proper names keep their capital. */
const PROPER = /^(Rubik|Japanese|TV)/

/** Why a piece is not in the set, or undefined. */
export function reasonToDrop({ id, size, fixed }: Piece): string | undefined {
  if (Math.max(...size) > LARGEST + 1e-9) return 'larger than 40 cm'
  if (fixed) return 'fitted to a wall, a ceiling or another piece'
  return DROPPED[id]
}

/** An object in words, such as 'a mug'. */
export function textOf({ id, name }: Piece): string {
  const own = TEXTS[id]
  if (own !== undefined) return own
  const words = PROPER.test(name) ? name : name.toLowerCase()
  return `${/^[aeiou]/i.test(words) ? 'an' : 'a'} ${words}`
}

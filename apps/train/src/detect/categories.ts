// The coarse categories that detection tells apart, found by the words of an object's text.

/** First match wins; what no row matches is 'other', as are objects whose kind is rare: plants, lamps, food, stationery. */
const WORDS: readonly (readonly [category: string, words: readonly string[]])[] = [
  ['bottle', ['bottle', 'carton', 'dispenser']],
  ['pot', ['pot', 'potty', 'kettle', 'teapot', 'press', 'creamer', 'jar', 'shaker', 'vase', 'sugar']],
  ['dish', ['bowl', 'dish', 'pan', 'tray']],
  ['cup', ['cup', 'glass']],
  ['appliance', ['mixer', 'brewer', 'maker', 'grill', 'toaster', 'fan', 'radio', 'dock']],
  ['electronics', ['laptop', 'phone', 'smartphone', 'remote', 'controller', 'camera', 'clock']],
  ['tool', ['knife', 'scissors', 'marker', 'brush', 'hammer', 'screwdriver', 'drill', 'squeezer', 'lipstick', 'thermometer']],
  ['wearable', ['boots', 'sneakers', 'shoes', 'moccasins', 'handbag', 'briefcase', 'backpack', 'watch', 'glove', 'glasses', 'sunglasses', 'headphones']],
  ['toy', ['toy', 'teddy', 'doll', 'deer', 'cube', 'chessboard']],
] // biome-ignore format: a table

export const CATEGORIES: readonly string[] = [...WORDS.map(([category]) => category), 'other']

/** Index into CATEGORIES for a text such as 'a coffee cup'. */
export function categoryOf(text: string): number {
  const words = text.toLowerCase().split(/[^a-z]+/)
  const found = WORDS.findIndex(([, known]) => words.some(word => known.includes(word)))
  return found < 0 ? CATEGORIES.length - 1 : found
}

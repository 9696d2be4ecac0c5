// The font of all pictures, from npm: none can be assumed on the machine.

import { createRequire } from 'node:module'
import { GlobalFonts } from '@napi-rs/canvas'

export const FONT = 'DejaVu Sans'

GlobalFonts.registerFromPath(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'), FONT)
